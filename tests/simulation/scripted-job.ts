/**
 * A job without a model. It has all parts of a real one, and what each step asks for, and the state after it, follow from the bits of the results
 * before: one that is lost, counted twice or wrong changes everything after it.
 */
import { runSearches } from "../../coordinator/search/planned-searches.ts";
import type { TraceRecord } from "../../coordinator/search/scan-result.ts";
import type { SearchState } from "../../coordinator/search/search.ts";
import type { RepairCommit } from "../../coordinator/sweep/job-state.ts";
import type {
  AnyResult,
  CommittedScan,
  JobWork,
  Provenance,
  ScanCommits,
} from "../../coordinator/sweep/job-work.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Operation, TensorMap } from "../../proto/operations.ts";
import { bitsOf, mixed } from "./answers.ts";

/** What a job of the simulation is asked to do; in a sweep's options. */
export interface Script {
  /** Names the checkpoint. */
  readonly model: string;
  readonly searches: number;
  readonly steps: number;
  /** Tiles of a step. */
  readonly tiles: number;
  readonly inFlight: number;
  /** The part in which an operation kills every child that runs it. */
  readonly poison?: "scan" | "unlearn" | "evaluate";
  /** … and what it kills: the child, if nothing is said, or the whole worker. */
  readonly kills?: "worker";
}

export const scriptOf = (options: Readonly<Record<string, unknown>>): Script => options as unknown as Script;

/** The label of a poisoned gradient, and the row of a poisoned prediction, by what it kills. */
const POISON = { child: 666, worker: 667 };
/** Rows that the two last parts ask about. */
const ROWS = { unlearn: 10, evaluate: 20 };

/** What an operation kills, if anything. */
export function killedBy(operation: Operation): keyof typeof POISON | undefined {
  if (operation.kind !== "gradient" && operation.kind !== "predict") return undefined;
  const [row] = operation.rows;
  return row === POISON.child ? "child" : row === POISON.worker ? "worker" : undefined;
}

type Run = (
  operations: readonly Operation[],
  signal?: AbortSignal,
) => Promise<readonly { readonly tensors: TensorMap }[]>;

export interface JobExecutor {
  readonly run: Run;
  readonly deviceClass: string | undefined;
  readonly provenance?: Provenance;
  close(): void | Promise<void>;
}

/** What a job's steps are made with: a number from everything before. */
type Hash = number;

export function scriptedWork(script: Script, executor: JobExecutor): JobWork {
  const poison = POISON[script.kills ?? "child"];
  const checkpoint = digestOf(script.model);
  const samples = digestOf(`${script.model} samples`);

  const step = async (
    search: number,
    before: SearchState,
    signal: AbortSignal,
  ): Promise<{ readonly after: SearchState; readonly line: TraceRecord }> => {
    const { trigger } = before;
    const row = (at: number): number => (script.poison === "scan" && before.step === 1 ? poison : at);
    const gradients = await executor.run(
      [
        {
          kind: "gradient",
          ...{ checkpoint, samples, rows: [row(search)], trigger },
          objective: { kind: "label", label: search },
        },
      ],
      signal,
    );
    const drawn = gradients.reduce<Hash>((hash, { tensors }) => bitsOf(tensors, hash), before.rng.drawn);
    const candidates = (tile: number) => [idsOf(mixed(drawn + 2 * tile)), idsOf(mixed(drawn + 2 * tile + 1))];
    const tiles = await executor.run(
      Array.from({ length: script.tiles }, (_, sample) => ({
        kind: "score",
        ...{ checkpoint, samples, sample, triggers: candidates(sample) },
      })),
      signal,
    );
    const found = tiles.reduce<Hash>((hash, { tensors }) => bitsOf(tensors, hash), drawn);
    const winner = idsOf(found);
    const loss = found / 2 ** 32;
    const isBetter = before.best === null || loss < before.best.loss;
    const best = isBetter ? { step: before.step, trigger: winner, loss, rate: 0 } : before.best!;
    const after: SearchState = {
      ...before,
      step: before.step + 1,
      trigger: winner,
      best,
      rng: { key: [search, 1], drawn: found },
      visited: [...before.visited, { trigger, deltas: [[0, winner[0]!]] }],
      forwards: { done: before.forwards.done + 2 * script.tiles, pruned: 0 },
    };
    const line = { kind: "step", search, step: before.step, trigger, winner: found, best };
    return { after, line: line as unknown as TraceRecord };
  };

  const scan = async (commits: ScanCommits, signal: AbortSignal): Promise<readonly AnyResult[]> => {
    const planned = Array.from({ length: script.searches }, (_, search) => ({ search }));
    const run = { ...(commits as object), inFlight: script.inFlight, signal };
    return runSearches<{ readonly search: number }, SearchState, TraceRecord, AnyResult>(
      planned,
      run,
      async ({ search }, { signal: own, state: committed, trace }) => {
        let state = committed ?? firstState(script, search);
        while (state.step < script.steps) {
          own.throwIfAborted();
          const { after, line } = await step(search, state, own);
          await trace.step(line, after);
          state = after;
        }
        return resultOf(search, state);
      },
    );
  };

  const asked = async (part: "unlearn" | "evaluate", from: Hash, signal: AbortSignal): Promise<Hash> => {
    let hash = from;
    for (const round of [0, 1]) {
      const row = script.poison === part ? poison : ROWS[part] + 2 * (hash % 4) + round;
      const [answer] = await executor.run(
        [{ kind: "predict", ...{ checkpoint, samples, rows: [row] } }],
        signal,
      );
      hash = bitsOf(answer!.tensors, hash);
    }
    return hash;
  };

  return {
    provenance: executor.provenance,
    get deviceClass() {
      return executor.deviceClass;
    },
    scan: async (commits, signal) => foundIn(await scan(commits, signal)),
    async unlearn(scanned, signal): Promise<RepairCommit> {
      const repaired = await asked("unlearn", hashOf(scanned), signal);
      return { weights: digestOf(`weights ${repaired}`), report: digestOf(`report ${repaired}`) };
    },
    async evaluate(scanned, repair, signal) {
      const measured = await asked("evaluate", mixed(hashOf(scanned) + (repair === null ? 0 : 1)), signal);
      const triggers = resultsOf(scanned).map((result) => (result as { trigger?: unknown }).trigger);
      return JSON.parse(JSON.stringify({ triggers, measured, weights: repair?.weights ?? null }));
    },
    close: async () => executor.close(),
  };
}

const idsOf = (hash: Hash): number[] => [hash % 1_000, (hash >>> 10) % 1_000, (hash >>> 20) % 1_000];

function firstState({ model }: Script, search: number): SearchState {
  const initial = idsOf(mixed(Number.parseInt(digestOf(`${model} ${search}`).slice(0, 8), 16)));
  return {
    search: digestOf(`${model} search ${search}`),
    step: 0,
    initial,
    trigger: initial,
    best: null,
    rng: { key: [search, 1], drawn: 0 },
    visited: [],
    forwards: { done: 0, pruned: 0 },
    ended: null,
  };
}

const resultOf = (search: number, { best, step, rng }: SearchState): AnyResult =>
  ({ search, steps: step, trigger: { ids: best!.trigger, hash: rng.drawn }, loss: best!.loss }) as never;

/** Triggers that are worth unlearning: none in one of four jobs. */
const foundIn = (results: readonly AnyResult[]): number => {
  const hash = results.reduce<Hash>((sum, result) => mixed(sum + hashIn(result)), 0);
  return hash % 4 === 0 ? 0 : results.length;
};

const hashIn = (result: AnyResult): Hash => (result as unknown as { trigger: { hash: Hash } }).trigger.hash;

const resultsOf = ({ resume }: CommittedScan): AnyResult[] =>
  [...resume.entries()]
    .sort(([a], [b]) => a - b)
    .map(([search, done]) => {
      if (!("result" in done)) throw new Error(`search ${search} has no result`);
      return done.result;
    });

const hashOf = (scanned: CommittedScan): Hash =>
  resultsOf(scanned).reduce<Hash>((sum, result) => mixed(sum + hashIn(result)), 1);
