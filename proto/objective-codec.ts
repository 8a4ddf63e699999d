import { MalformedOperationError } from "./malformed-operation.ts";
import type { MicroBatch } from "./operations.ts";

/** A micro-batch's objective as lists, of which at most one has entries. */
export interface ObjectiveLists {
  readonly labels: readonly number[];
  readonly logits: readonly number[];
  readonly slopes: readonly number[];
}

export function objectiveToLists(objective: MicroBatch["objective"]): ObjectiveLists {
  return {
    labels: objective.kind === "labels" ? objective.labels : [],
    logits: objective.kind === "logits" ? objective.logits.flat() : [],
    slopes: objective.kind === "vectors" ? objective.slopes.flat() : [],
  };
}

/** @throws MalformedOperationError where the numbers are not those of the rows. */
export function objectiveFromLists(
  rows: readonly number[],
  { labels, logits, slopes }: ObjectiveLists,
): MicroBatch["objective"] {
  const counts = { labels: labels.length, logits: logits.length, slopes: slopes.length };
  const given = Object.values(counts).filter((count) => count > 0).length;
  const width = Math.max(counts.labels, counts.logits, counts.slopes) / rows.length;
  if (
    given > 1 ||
    (given === 0 ? rows.length > 0 : !Number.isInteger(width)) ||
    (labels.length > 0 && width !== 1)
  ) {
    const found = Object.entries(counts).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []));
    throw new MalformedOperationError(`${found.join(" and ") || "no objective"} for ${rows.length} rows`);
  }
  if (logits.length > 0) return { kind: "logits", logits: inRows(logits, rows.length) };
  if (slopes.length > 0) return { kind: "vectors", slopes: inRows(slopes, rows.length) };
  return { kind: "labels", labels };
}

/** A flat list as `count` rows of one length, which it must be a multiple of. */
export function inRows(flat: readonly number[], count: number): number[][] {
  const width = count === 0 ? 0 : flat.length / count;
  if (!Number.isInteger(width) || (count === 0 && flat.length > 0)) {
    throw new MalformedOperationError(`${flat.length} numbers are not ${count} rows of one length`);
  }
  return Array.from({ length: count }, (_, row) => flat.slice(row * width, (row + 1) * width));
}
