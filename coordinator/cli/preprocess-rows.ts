import { join } from "node:path";
import { SamplesError } from "../data/errors.ts";
import { type Extracted, extractAll } from "../data/preprocess/extract-all.ts";
import { rowOf } from "../data/preprocess/source-function.ts";
import { ThreadPool } from "../data/preprocess/thread-pool.ts";
import type { CommandContext } from "./command.ts";
import { type LineFile, openLineFile } from "./output.ts";
import type { FunctionSource } from "./preprocess-inputs.ts";
import type { SplitName } from "./preprocess-splits.ts";

/** What became of the functions of a source. */
export interface RowCounts {
  /** Functions read. */
  readonly functions: number;
  /** Rows written, by file. */
  readonly rows: Readonly<Record<string, number>>;
  /** Functions kept out, by reason. */
  readonly kept_out: Readonly<Record<string, number>>;
  /** Functions in which tree-sitter found a syntax error. */
  readonly syntax_errors: number;
  /** Functions that no index file names. */
  readonly in_no_split: number;
}

export interface WriteRowsOptions {
  readonly source: FunctionSource;
  /** The split of a function; absent: all rows go into `data.jsonl`. */
  readonly splitOf?: (idx: string) => SplitName | undefined;
  readonly dropSyntaxErrors: boolean;
  readonly threads: number;
  /** Told of every function, in order. */
  readonly onFunction?: (extracted: Extracted, isKept: boolean) => void;
}

const keptOutFile = "kept_out.jsonl";

/**
 * Writes the rows of a source into a folder, in the order of the source, and what was kept out with its reason into `kept_out.jsonl`.
 *
 * @throws SamplesError for wrong input, and where no row remains
 */
export async function writeRows(
  folder: string,
  { source, splitOf, dropSyntaxErrors, threads, onFunction }: WriteRowsOptions,
  { display, signal }: CommandContext,
): Promise<RowCounts> {
  const files = new LineFiles(folder);
  const counts = { functions: 0, syntax_errors: 0, in_no_split: 0 };
  const keptOut: Record<string, number> = {};
  let read = 0;
  const showProgress = (done: number): void =>
    display.progress({
      ...{ phase: "preprocessing", done, total: source.total, unit: source.unit },
      fields: { functions: counts.functions, "kept out": sum(keptOut) },
    });
  const pool = new ThreadPool(threads);
  try {
    for await (const extracted of extractAll(
      source.open((done) => (read = done)),
      pool,
    )) {
      signal.throwIfAborted();
      counts.functions++;
      const fault = faultOf(extracted, dropSyntaxErrors);
      const { place, before } = extracted.source;
      onFunction?.(extracted, fault === undefined);
      if (extracted.outcome.kind === "extracted" && extracted.outcome.extraction.hasSyntaxErrors) {
        counts.syntax_errors++;
      }
      if (fault !== undefined) {
        keptOut[fault.reason] = (keptOut[fault.reason] ?? 0) + 1;
        await files.write(keptOutFile, { ...place, idx: before.idx, reason: fault.message });
      } else if (extracted.outcome.kind === "extracted") {
        const split = splitOf ? splitOf(String(before.idx)) : "data";
        if (split === undefined) counts.in_no_split++;
        else await files.write(`${split}.jsonl`, rowOf(extracted.source, extracted.outcome.extraction));
      }
      // The last of it is shown when all is done: files are read ahead of what is made of them.
      showProgress(Math.min(read, source.total - 1));
    }
    showProgress(source.total);
    const { [keptOutFile]: _, ...rows } = await files.commit();
    if (sum(rows) === 0) throw nothingLeft(source.name, counts, keptOut);
    return { ...counts, rows, kept_out: keptOut };
  } catch (error) {
    files.discard();
    throw error;
  } finally {
    await pool.close();
  }
}

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

/** Why a function gets no row; undefined where it gets one. */
function faultOf(
  { outcome }: Extracted,
  dropSyntaxErrors: boolean,
): { readonly reason: string; readonly message: string } | undefined {
  if (outcome.kind === "unusable") return outcome;
  const isDropped = dropSyntaxErrors && outcome.extraction.hasSyntaxErrors;
  return isDropped ? { reason: "syntax error", message: "syntax error" } : undefined;
}

function nothingLeft(
  file: string,
  { functions, in_no_split: inNoSplit }: { readonly functions: number; readonly in_no_split: number },
  keptOut: Readonly<Record<string, number>>,
): SamplesError {
  const reasons = Object.entries(keptOut).map(([reason, count]) => `${count} × ${reason}`);
  if (inNoSplit > 0) reasons.push(`${inNoSplit} × in no index file`);
  return new SamplesError(
    `gives no row: of ${functions} functions none is left (${reasons.join("; ") || "no function in it"})`,
    { file },
  );
}

/** Files of rows that are opened with their first row. */
class LineFiles {
  readonly #folder: string;
  readonly #files = new Map<string, { readonly file: LineFile; rows: number }>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async write(name: string, row: unknown): Promise<void> {
    let open = this.#files.get(name);
    if (!open) {
      open = { file: openLineFile(join(this.#folder, name)), rows: 0 };
      this.#files.set(name, open);
    }
    open.file.write(row);
    open.rows++;
    await open.file.ready();
  }

  /** Puts the files in place; answers their rows. */
  async commit(): Promise<Record<string, number>> {
    for (const { file } of this.#files.values()) await file.commit();
    return Object.fromEntries([...this.#files].map(([name, { rows }]) => [name, rows]));
  }

  discard(): void {
    for (const { file } of this.#files.values()) file.discard();
  }
}
