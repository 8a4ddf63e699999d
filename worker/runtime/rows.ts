import { OperationFailed } from "../../proto/operation-failed.ts";
import type { Digest, SampleSet, Task, Tensor } from "../../proto/operations.ts";
import { slots, stamp } from "../../proto/stamping.ts";
import { architectureOf } from "../models/architectures.ts";
import type { ModelConfig } from "../models/config.ts";

/** A row of ids with the name that errors give it. */
export interface NamedRow {
  readonly name: string;
  readonly ids: readonly number[];
}

/** A row as a model reads it: in clone detection with a second snippet. */
export interface InputRow extends NamedRow {
  readonly second?: NamedRow;
}

/** Throws OperationFailed where a task reads pairs and a sample set has none, or the other way round. */
export function checkSnippets({ secondRows }: SampleSet, digest: Digest, task: Task): void {
  if ((secondRows !== undefined) === (task === "clone_detection")) return;
  const found = secondRows === undefined ? "has no second snippets" : "has second snippets";
  throw new OperationFailed(`sample set ${digest} ${found}, and the model's task is ${task}`);
}

/** Row of a sample set as the model reads it. */
export const sampleRow = (samples: SampleSet, row: number, config: ModelConfig): InputRow =>
  asRead(rowAt(samples, row), samples, config);

/** The same with a trigger at the row's insert index; an empty trigger leaves it as it is. */
export function stampedRow(
  samples: SampleSet,
  row: number,
  trigger: readonly number[],
  config: ModelConfig,
): InputRow {
  const clean = rowAt(samples, row);
  if (trigger.length === 0) return asRead(clean, samples, config);
  const ids = stamp(clean.ids, trigger, insertIndex(samples, row), samples);
  return asRead({ ...clean, name: `${clean.name} with its trigger`, ids }, samples, config);
}

/** Two snippets become one row where the architecture has it so. */
function asRead(row: InputRow, { maxLen }: SampleSet, config: ModelConfig): InputRow {
  const { name, ids: first, second } = row;
  const snippets = { first, ...(second && { second: second.ids }), maxLen };
  const ids = architectureOf(config).readRow?.(config, snippets);
  return ids === undefined ? row : { name, ids };
}

function rowAt({ rows, secondRows }: SampleSet, row: number): InputRow {
  const ids = rows[row];
  if (ids === undefined) {
    throw new OperationFailed(`row ${row} is not in a sample set of ${rows.length} rows`);
  }
  const second = secondRows && { second: { name: `second snippet of row ${row}`, ids: secondRows[row]! } };
  return { name: `row ${row}`, ids, ...second };
}

/** Triggers of a tile; OperationFailed where there are none, or their lengths differ. */
export function checkedTriggers<T extends readonly number[]>(
  what: string,
  triggers: readonly T[],
): readonly T[] {
  if (triggers.length === 0) throw new OperationFailed(`${what}: no triggers`);
  const { length } = triggers[0]!;
  const odd = triggers.find((trigger) => trigger.length !== length);
  if (odd === undefined) return triggers;
  throw new OperationFailed(`${what}: triggers of ${length} and of ${odd.length} tokens in one tile`);
}

/** Column of each trigger token in the stamped row; −1 where it was cut. */
export const triggerSlots = (samples: SampleSet, row: number, triggerLength: number): number[] =>
  slots(rowAt(samples, row).ids.length, triggerLength, insertIndex(samples, row), samples);

function insertIndex(samples: SampleSet, row: number): number {
  const index = samples.insertIndexes?.[row];
  if (index === undefined) {
    throw new OperationFailed(`row ${row} has no insert index, so no trigger can be put into it`);
  }
  const { length } = rowAt(samples, row).ids;
  if (index > length)
    throw new OperationFailed(`row ${row}: insert index ${index} lies behind its ${length} tokens`);
  return index;
}

/** Throws OperationFailed where the model cannot read a row: too long, an id beyond the vocabulary, or what its architecture refuses. */
export function checkRow({ name, ids }: NamedRow, config: ModelConfig): void {
  const architecture = architectureOf(config);
  const most = architecture.longestRow(config)?.tokens ?? Number.POSITIVE_INFINITY;
  if (ids.length === 0 || ids.length > most) {
    throw new OperationFailed(`${name} has ${ids.length} tokens, the model reads 1 to ${most}`);
  }
  for (const [column, id] of ids.entries()) {
    if (id >= config.vocabSize) {
      throw new OperationFailed(
        `${name}, column ${column}: id ${id} is not below vocab_size ${config.vocabSize}`,
      );
    }
  }
  const problem = architecture.rowProblem(config, ids);
  if (problem !== undefined) throw new OperationFailed(`${name}, ${problem}`);
}

/** Rows of one length as a tensor [rows, length]. */
export function idTensor(rows: readonly NamedRow[]): Tensor<Int32Array> {
  const length = rows[0]!.ids.length;
  const data = new Int32Array(rows.length * length);
  for (const [index, { ids }] of rows.entries()) data.set(ids, index * length);
  return { shape: [rows.length, length], data };
}

/**
 * Rows of one length by the tokens in which they differ, as `distinctTokens` reads them: those of the first row, and of the others each that is
 * not the first row's in its column, or, to a causal model, stands behind one that is not. Rows of a tile are one sample with several triggers,
 * so these are few.
 */
export function distinctFeeds(
  rows: readonly NamedRow[],
  config: ModelConfig,
): Record<string, Tensor<Int32Array>> {
  const { causal } = architectureOf(config);
  const first = rows[0]!.ids;
  const { length } = first;
  const [ids, columns, origins] = [[...first], first.map((_, at) => at), first.map((_, at) => at)];
  const places = new Int32Array(rows.length * length);
  for (const [index, row] of rows.entries()) {
    let apart = false;
    for (let column = 0; column < length; column++) {
      const id = row.ids[column]!;
      const at = index * length + column;
      apart = (causal && apart) || id !== first[column];
      places[at] = column;
      if (!apart) continue;
      places[at] = ids.push(id) - 1;
      columns.push(column);
      origins.push(at);
    }
  }
  const list = (data: readonly number[]) => ({ shape: [data.length], data: Int32Array.from(data) });
  return {
    ids: list(ids),
    columns: list(columns),
    origins: list(origins),
    places: { shape: [rows.length, length], data: places },
  };
}

/**
 * Indexes of rows that go through the program together: of one length, so that nothing is padded, and of at most
 * `tokensPerRun` tokens together. Grouping changes no bit of a row's result.
 */
export function runsOf(lengths: readonly number[], tokensPerRun: number): number[][] {
  const byLength = new Map<number, number[]>();
  for (const [index, length] of lengths.entries()) {
    byLength.set(length, [...(byLength.get(length) ?? []), index]);
  }
  return [...byLength].flatMap(([length, indexes]) => {
    const perRun = Math.max(1, Math.floor(tokensPerRun / length));
    return Array.from({ length: Math.ceil(indexes.length / perRun) }, (_, run) =>
      indexes.slice(run * perRun, (run + 1) * perRun),
    );
  });
}
