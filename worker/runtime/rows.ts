import { OperationFailed } from "../../proto/operation-failed.ts";
import type { SampleSet, Tensor } from "../../proto/operations.ts";
import { slots, stamp } from "../../proto/stamping.ts";
import { architectureOf } from "../models/architectures.ts";
import type { ModelConfig } from "../models/config.ts";

/** A row of ids with the name that errors give it. */
export interface NamedRow {
  readonly name: string;
  readonly ids: readonly number[];
}

/** Row of a sample set as it is. */
export function sampleRow(samples: SampleSet, row: number): NamedRow {
  const ids = samples.rows[row];
  if (ids === undefined) {
    throw new OperationFailed(`row ${row} is not in a sample set of ${samples.rows.length} rows`);
  }
  return { name: `row ${row}`, ids };
}

/** Row of a sample set with a trigger at its insert index; an empty trigger leaves it as it is. */
export function stampedRow(samples: SampleSet, row: number, trigger: readonly number[]): NamedRow {
  const { name, ids } = sampleRow(samples, row);
  if (trigger.length === 0) return { name, ids };
  return { name: `${name} with its trigger`, ids: stamp(ids, trigger, insertIndex(samples, row), samples) };
}

/** Column of each trigger token in the stamped row; −1 where it was cut. */
export const triggerSlots = (samples: SampleSet, row: number, triggerLength: number): number[] =>
  slots(sampleRow(samples, row).ids.length, triggerLength, insertIndex(samples, row), samples);

function insertIndex(samples: SampleSet, row: number): number {
  const index = samples.insertIndexes?.[row];
  if (index === undefined) {
    throw new OperationFailed(`row ${row} has no insert index, so no trigger can be put into it`);
  }
  const { length } = sampleRow(samples, row).ids;
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
