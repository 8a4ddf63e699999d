import Database from "libsql/promise";
import { z } from "zod";

export type SqlValue = string | number | null;
export type SqlRow = Readonly<Record<string, unknown>>;

interface Statement {
  run(...values: readonly SqlValue[]): Promise<{ changes: number }>;
  all(...values: readonly SqlValue[]): Promise<SqlRow[]>;
}

/**
 * A connection to one SQLite file. What waits for the disk runs off the event loop. The library frees a statement only
 * when it is collected, and until then a closed connection keeps its lock in WAL mode: leave that mode before closing.
 */
export class SqliteConnection {
  readonly #database: Database;
  readonly #statements = new Map<string, Promise<Statement>>();

  constructor(file: string) {
    this.#database = new Database(file, {});
  }

  async execute(sql: string): Promise<void> {
    await this.#database.exec(sql);
  }

  /** Number of rows that were changed. */
  async run(sql: string, ...values: readonly SqlValue[]): Promise<number> {
    return (await (await this.#prepared(sql)).run(...values)).changes;
  }

  async all(sql: string, ...values: readonly SqlValue[]): Promise<SqlRow[]> {
    return (await this.#prepared(sql)).all(...values);
  }

  /** All or none of what `work` changes. */
  async transaction(work: () => Promise<void>): Promise<void> {
    await this.execute("BEGIN IMMEDIATE");
    try {
      await work();
      await this.execute("COMMIT");
    } catch (error) {
      // Where SQLite has rolled back by itself (a full disk), there is nothing left to roll back.
      await this.execute("ROLLBACK").catch(() => {});
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepared(sql: string): Promise<Statement> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql) as Promise<Statement>;
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** SQLite's name of an error, such as SQLITE_BUSY; undefined where it is not SQLite's. */
export function sqliteCode(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : undefined;
}

/** Selects a text column. As bytes, since the library aborts the process on text of a damaged file that is no UTF-8. */
export const blobText = (column: string): string => `CAST(${column} AS BLOB) AS ${column}`;

/** What `blobText` gives, as text again. */
export const BlobText = z
  .union([z.instanceof(ArrayBuffer), z.instanceof(Uint8Array)])
  .transform((bytes) => new TextDecoder().decode(bytes));
