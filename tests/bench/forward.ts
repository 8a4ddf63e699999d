import type { RobertaConfig } from "../../worker/models/roberta/config.ts";
import { type Time, timeOf } from "./clock.ts";
import { forwardFlop } from "./flop.ts";
import { openMatmulCeiling } from "./matmul-ceiling.ts";
import type { BenchModel } from "./models.ts";
import type { Bench, Measurement, Scenario, ScenarioResult } from "./scenario.ts";
import { scoreTile, shapeName, type TileShape } from "./tiles.ts";

/** The score program on tiles of several shapes; each run stands between two of the matrix product, so that both see the same machine. */
async function measureForward(
  bench: Bench,
  model: BenchModel<RobertaConfig>,
  plan: { readonly shapes: readonly TileShape[]; readonly usual: number; readonly tiles: number },
): Promise<ScenarioResult> {
  const executor = await bench.models.executor(bench.threads);
  const ceiling = await openMatmulCeiling(bench);
  const measurements: Measurement[] = [];
  const ceilings: number[] = [];
  for (const shape of plan.shapes) {
    bench.say(`${model.about}: tiles of ${shapeName(shape)} tokens`);
    const tiles = new Array(plan.tiles).fill(await scoreTile(executor, model, shape));
    const flop = plan.tiles * shape.rows * forwardFlop(model.config, shape.tokens);
    const forwards: number[] = [];
    const shares: { wall: number[]; processor: number[] } = { wall: [], processor: [] };
    await executor.execute(tiles.slice(0, 1)); // compiles the program
    for (let k = 0; k < bench.repetitions(plan.usual); k++) {
      const before = await ceiling.measure();
      const took = await timeOf(() => executor.execute(tiles));
      const least = meanTime(before, await ceiling.measure());
      ceilings.push(1e-9 / least.wall);
      forwards.push((plan.tiles * shape.rows) / took.wall);
      shares.wall.push((100 * flop * least.wall) / took.wall);
      shares.processor.push((100 * flop * least.processor) / took.processor);
    }
    const name = shapeName(shape);
    measurements.push(
      { name: `${name} forwards`, unit: "forwards/s", values: forwards },
      { name: `${name} tokens`, unit: "tokens/s", values: forwards.map((rate) => rate * shape.tokens) },
      { name: `${name} share of the matmul ceiling`, unit: "%", values: shares.wall },
      { name: `${name} the same, by processor time`, unit: "%", values: shares.processor },
    );
  }
  await ceiling.close();
  await executor.close();
  return {
    measurements: [...measurements, { name: "matmul ceiling", unit: "GFLOP/s", values: ceilings }],
    notes: [model.about],
  };
}

const meanTime = (a: Time, b: Time): Time => ({
  wall: (a.wall + b.wall) / 2,
  processor: (a.processor + b.processor) / 2,
});

export const forwardSmall: Scenario = {
  name: "forward-small",
  about: "score program on a small model: forwards and tokens a second, share of the matmul ceiling",
  run: async (bench) =>
    measureForward(bench, await bench.models.small(), {
      shapes: [
        { rows: 12, tokens: 128 },
        { rows: 4, tokens: 400 },
      ],
      usual: 7,
      tiles: 20,
    }),
};

export const forwardBase: Scenario = {
  name: "forward-base",
  about: "the same on a model in the shape of codebert-base",
  run: async (bench) =>
    measureForward(bench, await bench.models.base(), {
      shapes: [
        { rows: 12, tokens: 128 },
        { rows: 4, tokens: 400 },
      ],
      usual: 3,
      tiles: 1,
    }),
};
