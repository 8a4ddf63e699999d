import { createVisited } from "../../coordinator/search/candidates.ts";
import { type PreparedSearch, prepareSearch, type SearchProblem } from "../../coordinator/search/problem.ts";
import { runStep, type SearchState, type StepRecord } from "../../coordinator/search/search.ts";
import { SearchSettings } from "../../coordinator/search/settings.ts";
import type { Executor } from "../../proto/operations.ts";
import { NO_TIME, plus, type Time, timeOf } from "./clock.ts";

/** What a step took: up to the ids that its gradient ranks first, and from there to its winner. */
export interface StepTime {
  readonly ranking: Time;
  readonly scoring: Time;
}

export interface TimedStep {
  readonly time: StepTime;
  readonly state: SearchState;
  readonly record: StepRecord;
  /** Share of the forwards that pruning saved. */
  readonly saved: number;
}

/** Steps of one search with everything scored and with pruning, from any state. */
export interface StepRunner {
  readonly everything: PreparedSearch;
  readonly pruning: PreparedSearch;
  run(prepared: PreparedSearch, state: SearchState): Promise<TimedStep>;
}

export async function createStepRunner(
  executor: Executor,
  problem: SearchProblem,
  changes: Partial<SearchSettings>,
): Promise<StepRunner> {
  // A search that ends early would leave steps out.
  const settings = { patience: 0, targetLoss: 0, ...changes };
  let ranking = NO_TIME;
  const timed: Pick<Executor, "execute"> = {
    async execute(operations, signal) {
      const kind = operations[0]?.kind;
      if (kind !== "gradient" && kind !== "rank") return executor.execute(operations, signal);
      let results: Awaited<ReturnType<Executor["execute"]>> = [];
      const time = await timeOf(async () => {
        results = await executor.execute(operations, signal);
      });
      ranking = plus(ranking, time);
      return results;
    },
  };
  return {
    everything: await prepareSearch(executor, problem, SearchSettings.parse({ ...settings, pruning: false })),
    pruning: await prepareSearch(executor, problem, SearchSettings.parse({ ...settings, pruning: true })),
    async run(prepared, state) {
      const visited = createVisited(state.initial, state.visited);
      let next: { readonly state: SearchState; readonly record?: StepRecord } = { state };
      ranking = NO_TIME;
      const whole = await timeOf(async () => {
        next = await runStep(state, visited, { executor: timed, prepared });
      });
      const { record, state: after } = next;
      if (record === undefined) throw new Error(`the search ended before step ${state.step}: ${after.ended}`);
      const done = after.forwards.done - state.forwards.done;
      const pruned = after.forwards.pruned - state.forwards.pruned;
      return {
        time: { ranking, scoring: plus(whole, ranking, -1) },
        state: after,
        record,
        saved: pruned / (done + pruned),
      };
    },
  };
}

/** Pruning has to be exact: the same candidates, top-k, winner and bits of its loss. */
export function checkSameWinner(all: StepRecord, pruned: StepRecord): void {
  const essence = ({ candidates, winner, losses, topk }: StepRecord) =>
    JSON.stringify({ candidates, topk, winner, loss: losses[winner] });
  if (essence(all) !== essence(pruned))
    throw new Error(
      `step ${all.step}: winner ${all.winner} (loss ${all.losses[all.winner]}) without pruning, ` +
        `${pruned.winner} (loss ${pruned.losses[pruned.winner]}) with it`,
    );
}
