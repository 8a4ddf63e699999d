import { z } from "zod";
import { FencedError, StoreDamagedError } from "./errors.ts";
import type { EncodedHistory, LogEntry, LogMedium, RestorableLog } from "./log.ts";
import { SingleWriterLog } from "./single-writer-log.ts";
import { BlobText, blobText } from "./sqlite-connection.ts";
import { explain, type HeldFile, holdSqliteFile } from "./sqlite-file.ts";
import { digestOfRow } from "./sqlite-layout.ts";

/**
 * The log in one SQLite file, for a coordinator that needs no server. Any SQLite tool may look into it meanwhile.
 * @throws StoreHeldError where another coordinator has it; StoreDamagedError.
 */
export async function openSqliteLog(file: string): Promise<RestorableLog> {
  return new SingleWriterLog(new SqliteMedium(file, await holdSqliteFile(file)));
}

const Row = z.object({ number: z.number(), value: BlobText, digest: BlobText });

class SqliteMedium implements LogMedium {
  readonly place: string;
  readonly last: number;
  // Whoever raises the term of a file whose holder lives is found out by the next write.
  readonly lost = new Promise<void>(() => {});
  readonly #file: HeldFile;
  #term: number;

  constructor(place: string, file: HeldFile) {
    this.place = place;
    this.#file = file;
    this.#term = file.term;
    this.last = file.last;
  }

  get term(): number {
    return this.#term;
  }

  append(last: number, values: readonly string[]): Promise<void> {
    return this.#write(last, { last: last + values.length }, () => this.#insert(last, values));
  }

  snapshot(last: number, value: string): Promise<void> {
    return this.#write(last, { last }, async () => {
      await this.#file.connection.run("DELETE FROM record WHERE sequence <= ?", last);
      await this.#replaceSnapshot(last, value);
    });
  }

  async adopt({ term, upTo, snapshot, records }: EncodedHistory): Promise<void> {
    const raised = Math.max(this.#term, term + 1);
    await this.#write(0, { last: upTo + records.length, term: raised }, async () => {
      if (snapshot !== undefined) await this.#replaceSnapshot(upTo, snapshot);
      await this.#insert(upTo, records);
    });
    this.#term = raised;
  }

  async *read(last: number): AsyncGenerator<LogEntry, void, void> {
    const [taken] = await this.#rows(SNAPSHOT);
    if (taken) yield { kind: "snapshot", upTo: taken.number, value: this.#parse(taken, "the snapshot") };
    let before = taken?.number ?? 0;
    while (before < last) {
      const page = await this.#rows(PAGE, before, last);
      if (page.length === 0) throw this.#missing(before + 1, last);
      for (const row of page) {
        if (row.number !== before + 1) throw this.#missing(before + 1, last);
        yield { kind: "record", sequence: row.number, value: this.#parse(row, `record ${row.number}`) };
        before = row.number;
      }
    }
  }

  interrupt(): void {}

  close(): Promise<void> {
    return this.#file.release();
  }

  async #write(
    last: number,
    to: { readonly last: number; readonly term?: number },
    change: () => Promise<void>,
  ): Promise<void> {
    const { connection } = this.#file;
    const term = to.term ?? this.#term;
    try {
      await connection.transaction(async () => {
        const values = [term, to.last, digestOfRow(term, to.last), this.#term, last];
        if ((await connection.run(MOVE, ...values)) !== 1) throw new FencedError(this.place, this.#term);
        await change();
      });
    } catch (error) {
      explain(this.place)(error);
    }
    this.#file.assertInPlace();
  }

  async #insert(before: number, values: readonly string[]): Promise<void> {
    for (const [k, value] of values.entries()) {
      const sequence = before + 1 + k;
      await this.#file.connection.run(INSERT, sequence, value, digestOfRow(sequence, value));
    }
  }

  async #replaceSnapshot(upTo: number, value: string): Promise<void> {
    await this.#file.connection.run("DELETE FROM snapshot");
    await this.#file.connection.run(
      "INSERT INTO snapshot VALUES (?, ?, ?)",
      upTo,
      value,
      digestOfRow(upTo, value),
    );
  }

  async #rows(sql: string, ...values: readonly number[]): Promise<z.infer<typeof Row>[]> {
    const rows = await this.#file.connection.all(sql, ...values).catch(explain(this.place));
    const parsed = z.array(Row).safeParse(rows);
    if (!parsed.success) throw this.#damaged("a row is not what was written");
    return parsed.data;
  }

  #parse({ number, value, digest }: z.infer<typeof Row>, what: string): unknown {
    if (digest !== digestOfRow(number, value)) throw this.#damaged(`${what} is not what was written`);
    return JSON.parse(value);
  }

  #missing(sequence: number, last: number): StoreDamagedError {
    return this.#damaged(`record ${sequence} of ${last} is missing`);
  }

  #damaged(problem: string): StoreDamagedError {
    return new StoreDamagedError(this.place, `is damaged: ${problem}`);
  }
}

const MOVE = "UPDATE meta SET term = ?, last = ?, digest = ? WHERE term = ? AND last = ?";
const INSERT = "INSERT INTO record VALUES (?, ?, ?)";
const COLUMNS = `${blobText("value")}, ${blobText("digest")}`;
const SNAPSHOT = `SELECT up_to AS number, ${COLUMNS} FROM snapshot`;
const PAGE = `SELECT sequence AS number, ${COLUMNS} FROM record
  WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT 256`;
