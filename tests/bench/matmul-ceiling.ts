import { Graph, matMul, slice } from "../../worker/graph/index.ts";
import { writeProgram } from "../../worker/runtime/model-folder.ts";
import { createSession } from "../../worker/runtime/session.ts";
import { uniform } from "../support/uniform.ts";
import { type Time, timeOf } from "./clock.ts";
import type { Bench, Scenario } from "./scenario.ts";

/** Large enough that starting a run costs nothing, small enough for the caches of a small machine. */
const SIZE = 1024;
const FLOP = 2 * SIZE ** 3;
/** How long one measurement lasts at least. */
const WINDOW_MS = 500;

/** What the matrix product of onnxruntime reaches on this machine, measured again whenever it is asked for. */
export interface MatmulCeiling {
  /** Time of one floating-point operation, now. */
  measure(): Promise<Time>;
  close(): Promise<void>;
}

/** A session of one big MatMul with a fixed right operand, as a dense layer has it. */
export async function openMatmulCeiling({
  folder,
  threads,
}: Pick<Bench, "folder" | "threads">): Promise<MatmulCeiling> {
  const graph = new Graph();
  const shape = [SIZE, SIZE];
  const x = graph.input("x", "float32", shape);
  const weight = graph.constant({ dtype: "float32", shape, data: noise() });
  // One row is enough to see: handing out the whole product would cost a tenth of the time.
  graph.output("y", slice(matMul(x, weight), 0, 0, 1));
  const session = await createSession(await writeProgram(graph, folder), { threads, packWeights: true });
  const feeds = { x: { shape, data: noise() } };
  const run = () => session.run(feeds, ["y"]);
  await run();
  return {
    async measure() {
      let runs = 0;
      const { wall, processor } = await timeOf(async () => {
        const end = performance.now() + WINDOW_MS;
        for (; runs === 0 || performance.now() < end; runs++) await run();
      });
      return { wall: wall / runs / FLOP, processor: processor / runs / FLOP };
    },
    close: () => session.release(),
  };
}

function noise(): Float32Array {
  const draw = uniform(1);
  return Float32Array.from({ length: SIZE ** 2 }, () => draw() - 0.5);
}

export const matmulCeiling: Scenario = {
  name: "matmul-ceiling",
  about: "floating-point operations a second of one big matrix product: what the machine can reach",
  async run(bench) {
    const ceiling = await openMatmulCeiling(bench);
    const values: number[] = [];
    for (let k = 0; k < bench.repetitions(5); k++) values.push(1e-9 / (await ceiling.measure()).wall);
    await ceiling.close();
    return {
      measurements: [{ name: `MatMul ${SIZE}×${SIZE} · ${SIZE}×${SIZE}`, unit: "GFLOP/s", values }],
      notes: [],
    };
  },
};
