import type { Operation } from "../../proto/operations.ts";
import { type ProcessMemory, startInferenceChild } from "./inference-child.ts";
import type { Bench, Measurement, Scenario } from "./scenario.ts";
import { gradientTile, scoreTile } from "./tiles.ts";

/** Peak resident memory of an inference child that does only these operations. */
async function memoryFor(bench: Bench, operations: readonly Operation[]): Promise<ProcessMemory | undefined> {
  const child = await startInferenceChild(bench);
  try {
    for (const operation of operations) await child.run(operation);
    return child.memory();
  } finally {
    await child.close();
  }
}

export const memory: Scenario = {
  name: "memory",
  about: "peak resident memory of a worker's inference child in the shape of codebert-base",
  async run(bench) {
    const model = await bench.models.base();
    const executor = await bench.models.executor(1);
    // Tiles of a scan's usual size, the longest rows last; a gradient operation of a scan's usual five rows.
    const score = [
      await scoreTile(executor, model, { rows: 12, tokens: 128 }),
      await scoreTile(executor, model, { rows: 4, tokens: 400 }),
    ];
    const gradient = [await gradientTile(executor, model, { rows: 5, tokens: 400 })];
    await executor.close();

    const work: [string, readonly Operation[], number | undefined][] = [
      ["child without a model", [], undefined],
      ["scoring", score, 650],
      ["gradient", gradient, undefined],
    ];
    const measurements: Measurement[] = [];
    for (const [name, operations, most] of work) {
      const seen: ProcessMemory[] = [];
      for (let k = 0; k < bench.repetitions(2); k++) {
        bench.say(`memory: ${name}, ${model.about}`);
        const used = await memoryFor(bench, operations);
        if (used === undefined)
          return { measurements: [], notes: ["not measured: this system has no /proc/<pid>/status"] };
        seen.push(used);
      }
      const target = most === undefined ? undefined : ({ bound: "at most", value: most } as const);
      measurements.push(
        { name: `${name}: peak`, unit: "MB", values: seen.map(({ peak }) => peak / 1e6), target },
        {
          name: `${name}: own pages at the end`,
          unit: "MB",
          values: seen.map(({ anonymous }) => anonymous / 1e6),
        },
      );
    }
    return {
      measurements,
      notes: [model.about, "peak counts mapped weight files; own pages do not, which several children share"],
    };
  },
};
