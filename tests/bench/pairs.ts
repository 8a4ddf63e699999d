import { preparePairSearch } from "../../coordinator/search/pair-problem.ts";
import { runPairSearch } from "../../coordinator/search/pair-search.ts";
import { PairSearchSettings } from "../../coordinator/search/settings.ts";
import { agreementNote } from "./agreement.ts";
import { startClock, type Time } from "./clock.ts";
import { ALONE, openPairs, type PairTimes, pairStepInTorch } from "./pair-opponent.ts";
import { pairProblem } from "./pair-problem.ts";
import type { Measurement, Scenario } from "./scenario.ts";

export const pairs: Scenario = {
  name: "pairs",
  about: "one step of code search, 64 triggers × 64 targets on 30 codes and queries",
  async run(bench) {
    const model = await bench.models.get("search");
    const problem = pairProblem(model);
    const executor = await bench.models.executor(bench.threads);
    const steps = bench.repetitions(3);
    // One step more: the first one compiles the programs.
    const settings = PairSearchSettings.parse({ epochs: steps + 1, patience: 0, targetLoss: 0 });
    const prepared = await preparePairSearch(executor, problem, settings);
    if (bench.torch) bench.say(`${model.about}: PyTorch tries its forms`);
    const about = bench.torch && (await openPairs(bench.torch, model, problem, settings));
    const ours: Time[] = [];
    const theirs: PairTimes[] = [];
    let clock = startClock();
    const { blocks } = await runPairSearch({
      executor,
      prepared,
      async onStep(record) {
        const took = clock();
        if (record.step > 0) {
          bench.say(`${model.about}: step ${record.step}`);
          ours.push(took);
          if (bench.torch) theirs.push(await pairStepInTorch(bench.torch, record));
        }
        clock = startClock();
      },
    });
    await executor.close();
    const agreements = theirs.map((time) => time.agreement);
    return {
      measurements: [
        { name: "whole step", unit: "s", values: ours.map(({ wall }) => wall) },
        ...(about
          ? [
              ...against(
                "pair by pair",
                theirs.map(({ alone }) => alone),
                ours,
                100,
              ),
              ...against(
                "cached encodings",
                theirs.map(({ cached }) => cached),
                ours,
                2,
              ),
            ]
          : []),
      ],
      notes: [
        model.about,
        `pruning saved ${((100 * blocks.pruned) / (blocks.done + blocks.pruned)).toFixed(0)} % of the products`,
        ...(about
          ? [
              `pair by pair: ${about.published}, extrapolated from ${ALONE} pairs`,
              `cached encodings: ${about.batched}`,
              agreementNote(agreements, "cached encodings"),
            ]
          : []),
      ],
    };
  },
};

function against(name: string, theirs: readonly Time[], ours: readonly Time[], value: number): Measurement[] {
  const ratios = (of: keyof Time) => theirs.map((time, k) => time[of] / ours[k]![of]);
  return [
    { name: `${name}: whole step`, unit: "s", values: theirs.map(({ wall }) => wall) },
    { name: `${name} ÷ elibad`, unit: "×", values: ratios("wall"), target: { bound: "at least", value } },
    { name: "the same, by processor time", unit: "×", values: ratios("processor") },
  ];
}
