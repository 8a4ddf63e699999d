import { lossToward } from "../../coordinator/search/loss.ts";
import { floatRows } from "../../coordinator/search/results.ts";
import { absorb, finishScoring, planRound, startScoring, winnerOf } from "../../coordinator/search/rounds.ts";
import { startSearch } from "../../coordinator/search/search.ts";
import { SearchSettings } from "../../coordinator/search/settings.ts";
import { tileSizesOf } from "../../coordinator/search/tiles.ts";
import type { Executor, ScoreOperation } from "../../proto/operations.ts";
import type { Scenario } from "./scenario.ts";
import { searchProblem } from "./search-problem.ts";
import { createStepRunner } from "./step-runner.ts";

/** Every loss of a step, recorded with pruning off. */
interface Grid {
  /** Loss of each sample at the current trigger. */
  readonly current: number[];
  /** [sample][candidate] */
  readonly losses: number[][];
}

const PLANS = [
  { diveSamples: 1, diveCandidates: 1, pruneBlock: 2 },
  { diveSamples: 2, diveCandidates: 2, pruneBlock: 2 },
  { diveSamples: 3, diveCandidates: 2, pruneBlock: 1 },
  { diveSamples: 3, diveCandidates: 2, pruneBlock: 2 },
  { diveSamples: 3, diveCandidates: 2, pruneBlock: 4 },
  { diveSamples: 3, diveCandidates: 2, pruneBlock: 8 },
  { diveSamples: 5, diveCandidates: 2, pruneBlock: 2 },
];
type Plan = (typeof PLANS)[number];

export const pruningPlans: Scenario = {
  name: "pruning-plans",
  about: "what each plan of rounds leaves of a recorded search's tokens; every plan has to find its winners",
  async run(bench) {
    const model = await bench.models.small();
    const executor = await bench.models.executor(bench.threads);
    const problem = await searchProblem(executor, model);
    const empty = (): Grid => ({ current: [], losses: problem.rows.map(() => []) });
    let grid = empty();
    const recording: Executor = {
      ...executor,
      putArtifact: (bytes) => executor.putArtifact(bytes),
      async execute(operations, signal) {
        const results = await executor.execute(operations, signal);
        for (const [k, operation] of operations.entries()) {
          if (operation.kind !== "gradient" && operation.kind !== "score") continue;
          const rows = operation.kind === "gradient" ? operation.rows.length : operation.triggers.length;
          const losses = floatRows(results[k]!, "logits", rows).map((logits) =>
            lossToward(logits, problem.target, "float64"),
          );
          const { sample } = operation as Partial<ScoreOperation>;
          (sample === undefined ? grid.current : grid.losses[sample]!).push(...losses);
        }
        return results;
      },
    };
    const { everything, run } = await createStepRunner(recording, problem, {});
    const costs = everything.stampedLengths;
    const shares = PLANS.map((): number[] => []);
    let state = startSearch(everything);
    const steps = bench.repetitions(20);
    for (let k = 0; k < steps; k++) {
      bench.say(`${model.about}: step ${k} of ${steps}`);
      grid = empty();
      const { record, state: next } = await run(everything, state);
      for (const [p, plan] of PLANS.entries()) {
        const { winner, tokens } = scoreWith(plan, grid, costs);
        if (winner !== record.winner)
          throw new Error(`step ${k}: ${nameOf(plan)} finds ${winner}, the winner is ${record.winner}`);
        shares[p]!.push((100 * tokens) / (record.candidates.length * sum(costs)));
      }
      state = next;
    }
    await executor.close();
    return {
      measurements: PLANS.map((plan, p) => ({
        name: `tokens run: ${nameOf(plan)}`,
        unit: "%",
        values: shares[p]!,
      })),
      notes: [model.about, `the winner of every step under each of ${PLANS.length} plans`],
    };
  },
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const nameOf = ({ diveSamples, diveCandidates, pruneBlock }: Plan): string =>
  `${diveSamples} samples, best ${diveCandidates}, blocks of ${pruneBlock}`;

/** Scores a recorded step under a plan. */
function scoreWith(plan: Plan, { current, losses }: Grid, costs: readonly number[]) {
  const settings = SearchSettings.parse({});
  let tokens = 0;
  let scoring = startScoring(losses[0]!.length, {
    plan: { ...settings, ...plan },
    form: "float64",
    tileSizes: tileSizesOf(costs, settings.tile),
    sampleLosses: current,
    costs,
  });
  for (let tiles = planRound(scoring); tiles.length > 0; tiles = planRound(scoring)) {
    tokens += sum(tiles.map(({ sample, candidates }) => candidates.length * costs[sample]!));
    scoring = absorb(
      scoring,
      tiles,
      tiles.map(({ sample, candidates }) => candidates.map((candidate) => losses[sample]![candidate]!)),
    );
  }
  return { winner: winnerOf(finishScoring(scoring)), tokens };
}
