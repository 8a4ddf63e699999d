import { createVisited } from "../../coordinator/search/candidates.ts";
import { prepareSearch } from "../../coordinator/search/problem.ts";
import { runStep, type SearchState, type StepRecord, startSearch } from "../../coordinator/search/search.ts";
import { SearchSettings } from "../../coordinator/search/settings.ts";
import { type Time, timeOf } from "./clock.ts";
import type { Scenario } from "./scenario.ts";
import { searchProblem } from "./search-problem.ts";

export const step: Scenario = {
  name: "step",
  about: "one search step, 64 candidates × 30 samples, with and without pruning; the winners are compared",
  async run(bench) {
    const model = await bench.models.small();
    const executor = await bench.models.executor(bench.threads);
    bench.say(`${model.about}: positions`);
    const problem = await searchProblem(executor, model);
    const everything = await prepareSearch(executor, problem, SearchSettings.parse({ pruning: false }));
    const pruning = await prepareSearch(executor, problem, SearchSettings.parse({}));

    /** The step that follows on `state`, and how long it takes. */
    const timedStep = async (prepared: typeof pruning, state: SearchState) => {
      const visited = createVisited(state.initial, state.visited);
      let next: { readonly state: SearchState; readonly record?: StepRecord } = { state };
      const time = await timeOf(async () => {
        next = await runStep(state, visited, { executor, prepared });
      });
      return { time, state: next.state, record: next.record! };
    };

    let state = startSearch(pruning);
    await timedStep(pruning, state); // compiles the programs
    const times: { all: Time; pruned: Time }[] = [];
    const skipped: number[] = [];
    for (let k = 0; k < bench.repetitions(5); k++) {
      bench.say(`${model.about}: step ${k}`);
      const all = await timedStep(everything, state);
      const pruned = await timedStep(pruning, state);
      checkSameWinner(k, all.record, pruned.record);
      times.push({ all: all.time, pruned: pruned.time });
      const done = pruned.state.forwards.done - state.forwards.done;
      const grid = all.state.forwards.done - state.forwards.done;
      skipped.push(100 * (1 - done / grid));
      state = pruned.state;
    }
    await executor.close();
    return {
      measurements: [
        { name: "whole step without pruning", unit: "s", values: times.map(({ all }) => all.wall) },
        { name: "whole step with pruning", unit: "s", values: times.map(({ pruned }) => pruned.wall) },
        {
          name: "without ÷ with pruning",
          unit: "×",
          values: times.map(({ all, pruned }) => all.wall / pruned.wall),
        },
        {
          name: "the same, by processor time",
          unit: "×",
          values: times.map(({ all, pruned }) => all.processor / pruned.processor),
        },
        { name: "forwards that pruning saved", unit: "%", values: skipped },
      ],
      notes: [
        model.trained ? model.about : `${model.about}: random weights hardly prune`,
        `the same candidates, winner and winner's loss in ${times.length} of ${times.length} steps`,
      ],
    };
  },
};

/** Pruning has to be exact: the same candidates, winner and bits of its loss. */
function checkSameWinner(at: number, all: StepRecord, pruned: StepRecord): void {
  const essence = ({ candidates, winner, losses, topk }: StepRecord) =>
    JSON.stringify({ candidates, topk, winner, loss: losses[winner] });
  if (essence(all) !== essence(pruned))
    throw new Error(
      `step ${at}: winner ${all.winner} (loss ${all.losses[all.winner]}) without pruning, ` +
        `${pruned.winner} (loss ${pruned.losses[pruned.winner]}) with it`,
    );
}
