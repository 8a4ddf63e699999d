import { canonicalJson } from "../../proto/canonical-json.ts";
import type { ScoreOperation, Task } from "../../proto/operations.ts";
import type { LocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { uniform } from "../support/uniform.ts";
import { type Time, timeOf } from "./clock.ts";
import type { Bench, Measurement, Scenario, ScenarioResult } from "./scenario.ts";
import { shapeName, type TileShape } from "./tiles.ts";

/** A model whose programs are compared. */
interface Compared {
  readonly about: string;
  readonly task: Task;
  readonly checkpoint: string;
  readonly words: number;
}

const SHAPES: readonly TileShape[] = [
  { rows: 12, tokens: 128 },
  { rows: 4, tokens: 400 },
];

/** Largest difference of logits, relative to the largest, that forms may have. */
const TOLERANCE = 2e-5;

const agreed = `logits of both forms agree to ${TOLERANCE} of the largest`;

/** Tiles in the primitive form and in the fused one in turn: how much longer the primitive one takes. Rejects where their logits differ. */
async function compareForms(
  bench: Bench,
  executor: LocalExecutor,
  model: Compared,
  plan: { readonly usual: number; readonly tiles: number },
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const shape of SHAPES) {
    const name = `${model.about}, ${shapeName(shape)}`;
    bench.say(`forms: ${name}`);
    const plain = await tileOf(executor, model, shape);
    const fused: ScoreOperation = { ...plain, form: "fused" };
    const [expected, found] = await executor.execute([plain, fused]); // compiles both programs
    const apart = relativeDifference(found!.tensors.logits!.data, expected!.tensors.logits!.data);
    if (!(apart <= TOLERANCE)) throw new Error(`${name}: logits of the forms differ by ${apart}`);
    const times = (operation: ScoreOperation): Promise<Time> =>
      timeOf(() => executor.execute(new Array(plan.tiles).fill(operation)));
    const ratios: { wall: number[]; processor: number[] } = { wall: [], processor: [] };
    for (let k = 0; k < bench.repetitions(plan.usual); k++) {
      const [slow, fast] = [await times(plain), await times(fused)];
      ratios.wall.push(slow.wall / fast.wall);
      ratios.processor.push(slow.processor / fast.processor);
    }
    measurements.push(
      { name: `${name}: primitive ÷ fused`, unit: "×", values: ratios.wall },
      { name: "the same, by processor time", unit: "×", values: ratios.processor },
    );
  }
  return measurements;
}

/** A tile of random rows; a second snippet, where the task has one, is as long as the first. */
async function tileOf(
  executor: LocalExecutor,
  { task, checkpoint, words }: Compared,
  { rows, tokens }: TileShape,
): Promise<ScoreOperation> {
  const draw = uniform(tokens);
  const ids = (count: number) => Array.from({ length: count }, () => 4 + Math.floor(draw() * (words - 4)));
  const row = (count: number) => [...ids(count - 1), 2];
  const triggers = Array.from({ length: rows }, () => ids(5));
  const set = {
    rows: [row(tokens - 5)],
    ...(task === "clone_detection" ? { secondRows: [row(tokens)] } : {}),
    ...{ insertIndexes: [1], maxLen: tokens, endId: 2 },
  };
  const samples = await executor.putArtifact(Buffer.from(canonicalJson(set)));
  return { kind: "score", checkpoint, samples, sample: 0, triggers };
}

function relativeDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [apart, largest] = [0, 0];
  for (let at = 0; at < expected.length; at++) {
    apart = Math.max(apart, Math.abs(found[at]! - expected[at]!));
    largest = Math.max(largest, Math.abs(expected[at]!));
  }
  return apart / largest;
}

const trained = [
  ["T5, 2 + 2 layers × 64", "clone_detection", "clone-codet5-backdoored", 32_100],
  ["GPT-BigCode, 2 layers × 64", "defect_detection", "defect-starcoder-backdoored", 49_152],
] as const;

export const forms: Scenario = {
  name: "forms",
  about:
    "score programs in the primitive and in the fused form on small models: how many times as fast the fused ones are",
  async run(bench): Promise<ScenarioResult> {
    const executor = await bench.models.executor(bench.threads);
    const { checkpoint } = await bench.models.small();
    const models: Compared[] = [
      { about: "RoBERTa, 3 layers × 64", task: "defect_detection", checkpoint, words: 50_000 },
    ];
    if (hasShared) {
      for (const [about, task, folder, words] of trained) {
        const path = sharedPath("golden", "trained", folder);
        models.push({ about, task, checkpoint: await putCheckpoint(executor, path, task), words });
      }
    }
    const measurements: Measurement[] = [];
    for (const model of models)
      measurements.push(...(await compareForms(bench, executor, model, { usual: 9, tiles: 10 })));
    await executor.close();
    return {
      measurements,
      notes: [agreed, ...(hasShared ? [] : ["T5 and GPT-BigCode: not measured, ../shared is not there"])],
    };
  },
};

export const formsBase: Scenario = {
  name: "forms-base",
  about: "the same on a model in the shape of codebert-base",
  async run(bench): Promise<ScenarioResult> {
    const executor = await bench.models.executor(bench.threads);
    const { checkpoint } = await bench.models.base();
    const model: Compared = {
      ...{ about: "RoBERTa, 12 layers × 768", checkpoint, words: 50_000 },
      task: "defect_detection",
    };
    const measurements = await compareForms(bench, executor, model, { usual: 3, tiles: 1 });
    await executor.close();
    return { measurements, notes: [agreed] };
  },
};
