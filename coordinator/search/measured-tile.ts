/**
 * How many tokens a tile has. On a CPU by a fixed rule, so that a scan's plan follows from its settings; on a GPU it is measured once
 * before the first step, and stands in the result: `--tile` with that number gives the same plan again.
 */
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Digest, Executor, Operation, Task } from "../../proto/operations.ts";

/** 1,000 to 2,000 tokens a run are a weak optimum on CPUs (docs/performance.md). */
export const CPU_TILE = 1_500;

/** Sizes that are timed. The largest still fits the memory of small GPUs with models of base size. */
const TRIED = [1_500, 3_000, 6_000, 12_000, 24_000];

/** Runs of each size after the first one, which also compiles programs for its shapes; the fastest counts. */
const RUNS = 2;
/** Share of a row that stands before the trigger, about: recorded insert indexes are 45 of 321 tokens on average. */
const BEFORE_TRIGGER = 1 / 7;

/** Tokens per second that a larger tile has to add before it is taken. */
const WORTH = 1.05;

/** How fast the device was with tiles of a size. */
export interface TimedTile {
  /** Tokens of the tile as it ran. */
  readonly tokens: number;
  readonly seconds: number;
}

/** The tile of a scan, and the times that it was chosen by, where it was measured. */
export interface ChosenTile {
  readonly tile: number;
  readonly timed?: readonly TimedTile[];
}

/** The smallest tile that no larger one beats by 5 % or more. Small tiles prune more and spread over more workers. */
export function tileOfTimes(timed: readonly TimedTile[]): number {
  const rate = ({ tokens, seconds }: TimedTile): number => tokens / seconds;
  const fastest = Math.max(...timed.map(rate));
  const enough = timed.filter((tile) => rate(tile) * WORTH >= fastest).map(({ tokens }) => tokens);
  return Math.min(...enough);
}

export interface TileQuestion {
  readonly executor: Pick<Executor, "execute" | "putArtifact" | "deviceClass">;
  readonly checkpoint: Digest;
  readonly task: Task;
  /** Rows of the scan's samples, without triggers. */
  readonly rows: readonly (readonly number[])[];
  /** Clone detection: their second snippets. */
  readonly secondRows?: readonly (readonly number[])[] | undefined;
  readonly maxLen: number;
  readonly endId: number;
  /** Triggers that a step scores: no tile has more rows. */
  readonly repeatSize: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The tile of a scan: what was asked for, else by the rule of the device that the executor computes on. Where no operation came before this
 * one, as where rows have no variables to ask about, that is learnt from a row.
 */
export async function chooseTile(asked: number | undefined, question: TileQuestion): Promise<ChosenTile> {
  if (asked !== undefined) return { tile: asked };
  if (question.executor.deviceClass === undefined) await askOneRow(question);
  const { deviceClass } = question.executor;
  if (deviceClass === undefined || deviceClass.startsWith("cpu/")) return { tile: CPU_TILE };
  const timed = await timeTiles(question);
  return { tile: tileOfTimes(timed), timed };
}

/** A forward pass, for the device that does it. */
async function askOneRow(question: TileQuestion): Promise<void> {
  const { executor, checkpoint, rows, secondRows, maxLen, endId, signal } = question;
  const set = {
    rows: rows.slice(0, 1),
    ...(secondRows && { secondRows: secondRows.slice(0, 1) }),
    maxLen,
    endId,
  };
  const samples = await executor.putArtifact(new TextEncoder().encode(canonicalJson(set)));
  await executor.execute([{ kind: forwardOf(question), checkpoint, samples, rows: [0] }], signal);
}

const forwardOf = ({ task }: TileQuestion) => (task === "code_search" ? "encode" : "predict");

/** How a measured tile survives the process that measured it: states of a search are of one plan. */
export interface TileCommits {
  /** What an earlier run of the scan measured. */
  readonly tile?: ChosenTile | undefined;
  /** Awaited before the first step where the tile was measured now. */
  readonly onTile?: ((measured: ChosenTile) => void | Promise<void>) | undefined;
}

/** The tile of an earlier run of the scan, else that of this one, committed where it was measured. */
export async function committedTile(
  asked: number | undefined,
  question: TileQuestion,
  { tile, onTile }: TileCommits,
): Promise<ChosenTile> {
  if (tile !== undefined) return tile;
  const chosen = await chooseTile(asked, question);
  if (chosen.timed !== undefined) await onTile?.(chosen);
  return chosen;
}

/** What `ask` gives, asked once however many want to know. */
export function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= ask();
    return answer;
  };
}

/** Times forward passes of a row of median length, in tiles of several sizes, by the worker's own clock. */
export async function timeTiles(question: TileQuestion): Promise<TimedTile[]> {
  const { executor, checkpoint, rows, secondRows, maxLen, endId, repeatSize, signal } = question;
  const order = [...rows.keys()].sort((a, b) => rows[a]!.length - rows[b]!.length || a - b);
  const median = order[Math.floor(order.length / 2)]!;
  const row = rows[median]!;
  const counts = TRIED.map((tokens) => Math.min(repeatSize, Math.max(1, Math.round(tokens / row.length))));
  const largest = Math.max(...counts);
  // As in a tile, rows begin alike and then differ: what a program computes once for equal beginnings is no more here than there. And no run has another's
  // rows, since what was computed once may be answered from memory.
  const alike = Math.max(1, Math.floor(row.length * BEFORE_TRIGGER));
  const variants = Array.from({ length: (RUNS + 1) * largest }, (_, k) => rotated(row, alike, k));
  const set = {
    rows: variants,
    ...(secondRows && { secondRows: variants.map(() => secondRows[median]!) }),
    maxLen,
    endId,
  };
  const samples = await executor.putArtifact(new TextEncoder().encode(canonicalJson(set)));
  const kind = forwardOf(question);
  const timed: TimedTile[] = [];
  for (const count of new Set(counts)) {
    let seconds = Number.POSITIVE_INFINITY;
    for (let k = 0; k <= RUNS; k++) {
      const rows = Array.from({ length: count }, (_, r) => k * largest + r);
      const operation: Operation = { kind, checkpoint, samples, rows };
      // One at a time: a device that works on two tells the time of neither.
      const [result] = await executor.execute([operation], signal);
      if (k > 0) seconds = Math.min(seconds, result!.seconds);
    }
    timed.push({ tokens: count * row.length, seconds });
  }
  return timed;
}

/** The row with its ids after the first `alike` ones moved on by some places; the last token has a meaning to models and stays. */
function rotated(row: readonly number[], alike: number, places: number): number[] {
  const inner = row.slice(alike, -1);
  const at = inner.length === 0 ? 0 : places % inner.length;
  return [...row.slice(0, alike), ...inner.slice(at), ...inner.slice(0, at), ...row.slice(alike).slice(-1)];
}
