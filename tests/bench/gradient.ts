import { timeOf } from "./clock.ts";
import type { BenchModel } from "./models.ts";
import type { Bench, Scenario, ScenarioResult } from "./scenario.ts";
import { gradientTile, scoreTile } from "./tiles.ts";

/** Tokens of a row: the longest that a scan takes by default. */
const TOKENS = 400;

/** Seconds of the trigger gradient, beside a forward of as many rows of the same length. */
async function measureGradient(
  bench: Bench,
  model: BenchModel,
  { rows, usual }: { readonly rows: number; readonly usual: number },
): Promise<ScenarioResult> {
  bench.say(`${model.about}: gradients of rows of ${TOKENS} tokens`);
  const executor = await bench.models.executor(bench.threads);
  const gradient = await gradientTile(executor, model, { rows, tokens: TOKENS });
  const score = await scoreTile(executor, model, { rows, tokens: TOKENS });
  await executor.execute([{ ...gradient, rows: [0] }, score]); // compiles both programs
  const seconds: number[] = [];
  const ratios: { wall: number[]; processor: number[] } = { wall: [], processor: [] };
  for (let k = 0; k < bench.repetitions(usual); k++) {
    const forward = await timeOf(() => executor.execute([score]));
    const backward = await timeOf(() => executor.execute([gradient]));
    seconds.push(backward.wall / rows);
    ratios.wall.push(backward.wall / forward.wall);
    ratios.processor.push(backward.processor / forward.processor);
  }
  await executor.close();
  return {
    measurements: [
      { name: `gradient, ${TOKENS} tokens`, unit: "s/sample", values: seconds },
      { name: "gradient ÷ forward of the same rows", unit: "×", values: ratios.wall },
      { name: "the same, by processor time", unit: "×", values: ratios.processor },
    ],
    notes: [model.about],
  };
}

export const gradientSmall: Scenario = {
  name: "gradient-small",
  about: "trigger gradient on a small model: seconds per sample",
  run: async (bench) => measureGradient(bench, await bench.models.small(), { rows: 10, usual: 7 }),
};

export const gradientBase: Scenario = {
  name: "gradient-base",
  about: "the same on a model in the shape of codebert-base",
  run: async (bench) => measureGradient(bench, await bench.models.base(), { rows: 1, usual: 3 }),
};
