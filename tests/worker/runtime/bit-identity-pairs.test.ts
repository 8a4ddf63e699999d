import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type {
  EncodeOperation,
  Operation,
  SampleSet,
  ScoreOperation,
  Task,
} from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { forms, putJson } from "../../support/golden-cell.ts";
import { writeDrawnModel } from "../../support/random-architecture.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { uniform } from "../../support/uniform.ts";

interface Limits {
  readonly threads: number;
  readonly tokensPerRun?: number;
}

const CLONE = "clone-codet5-backdoored";
const SEARCH = "search-codebert-backdoored";

/** As small as a model can be beside the size of its vectors. */
const wide = {
  model_type: "roberta",
  ...{ vocab_size: 8, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 1 },
  max_position_embeddings: 8,
  type_vocab_size: 1,
  pad_token_id: 1,
  initializer_range: 0.02,
};

const draw = uniform(11);
/** Ids between first and end token, of ordinary words. */
const row = (length: number, first: number) => [
  first,
  ...Array.from({ length: length - 2 }, () => 100 + Math.floor(draw() * 5_000)),
  2,
];
const lengths = [40, 173, 256];
const rows = (first: number) => lengths.map((length) => row(length, first));
const triggers = Array.from({ length: 7 }, () => row(7, 0).slice(1, -1));
const clonePairs: SampleSet = {
  rows: rows(1),
  secondRows: rows(1),
  insertIndexes: [5, 1, 200],
  maxLen: 256,
  endId: 2,
};
const codes: SampleSet = { rows: rows(0), insertIndexes: [5, 1, 200], maxLen: 256, endId: 2 };

/** Elements of all results, as bits, of operations on a trained model. */
async function bits(
  model: string,
  task: Task,
  limits: Limits,
  operations: (
    checkpoint: string,
    samples: (set: SampleSet) => Promise<string>,
  ) => Promise<readonly Operation[]>,
): Promise<number[]> {
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), ...limits });
  const checkpoint = await putCheckpoint(executor, sharedPath("golden", "trained", model), task);
  const results = await executor.execute(await operations(checkpoint, (set) => putJson(executor, set)));
  await executor.close();
  return results.flatMap(({ tensors }) =>
    Object.values(tensors).flatMap(({ data }) => [...new Uint32Array(data.slice().buffer)]),
  );
}

const LIMITS: readonly Limits[] = [
  { threads: 1, tokensPerRun: 2 * 256 },
  { threads: 2, tokensPerRun: 7 * 256 },
  { threads: 8, tokensPerRun: 1 },
];

describe.skipIf(!hasShared)("bits of clone detection and code search on the CPU", () => {
  test.each(forms)(
    "in the %s form a pair's logits (T5, joined features) do not depend on how many rows run with it, nor on threads",
    async (_, form) => {
      const scores = (limits: Limits) =>
        bits(CLONE, "clone_detection", limits, async (checkpoint, put) => {
          const samples = await put(clonePairs);
          return [0, 1, 2].map(
            (sample): ScoreOperation => ({
              kind: "score",
              ...{ checkpoint, samples, sample, triggers, ...form },
            }),
          );
        });
      const reference = await scores({ threads: 1, tokensPerRun: 1 });

      for (const limits of LIMITS) expect(await scores(limits)).toEqual(reference);
    },
  );

  test.each(forms)(
    "in the %s form a code's vector does not depend on the triggers and rows beside it, nor on threads",
    async (_, form) => {
      const vectors = (limits: Limits, asked: readonly Pick<EncodeOperation, "rows" | "triggers">[]) =>
        bits(SEARCH, "code_search", limits, async (checkpoint, put) => {
          const samples = await put(codes);
          return asked.map((each) => ({ kind: "encode", checkpoint, samples, ...each, ...form }));
        });
      const alone = [0, 1, 2].flatMap((each) =>
        triggers.map((trigger) => ({ rows: [each], triggers: [trigger] })),
      );
      const reference = await vectors({ threads: 1, tokensPerRun: 1 }, alone);

      for (const limits of LIMITS) {
        expect(await vectors(limits, [{ rows: [0, 1, 2], triggers }])).toEqual(reference);
      }
    },
  );

  test("a gradient does not depend on its chunk, nor on threads", async () => {
    const gradients = async (limits: Limits, chunks: readonly (readonly number[])[]) => {
      const of = (model: string, task: Task, set: SampleSet, slope?: Float32Array) =>
        bits(model, task, limits, async (checkpoint, put) => {
          const samples = await put(set);
          return chunks.map((chunk) => ({
            kind: "gradient",
            ...{ checkpoint, samples, rows: chunk, trigger: triggers[0]! },
            objective: slope
              ? { kind: "vectors", slopes: chunk.map(() => slope) }
              : { kind: "label", label: 0 },
          }));
        });
      const slope = Float32Array.from({ length: 64 }, (_, at) => Math.sin(at));
      return [
        ...(await of(CLONE, "clone_detection", clonePairs)),
        ...(await of(SEARCH, "code_search", codes, slope)),
      ].sort((a, b) => a - b);
    };
    const alone = await gradients({ threads: 1 }, [[0], [1], [2]]);

    expect(await gradients({ threads: 2 }, [[0, 1, 2]])).toEqual(alone);
    expect(await gradients({ threads: 8 }, [[2], [0, 1]])).toEqual(alone);
  });
});

test("a pair's sum does not depend on the pairs beside it, nor on threads, with vectors of the size of codebert-base's", async () => {
  const [n, hidden, count] = [30, 768, 3];
  const folder = join(tempFolder(), "model");
  const json = { ...wide, hidden_size: hidden };
  await writeDrawnModel(folder, { json, task: "code_search", dtype: "float32", seed: 1 });
  const random = () => Float32Array.from({ length: count * n * hidden }, () => (draw() - 0.5) / 9);
  const artifacts = [random(), random()].map((data) =>
    encodeTensors({ vectors: { shape: [count, n, hidden], data } }),
  );
  const every = [0, 1, 2].flatMap((trigger) =>
    [0, 1, 2].map((target): [number, number] => [trigger, target]),
  );
  const sums = async (threads: number, chunks: readonly (readonly [number, number][])[]) => {
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads });
    const checkpoint = await putCheckpoint(executor, folder, "code_search");
    const [left, right] = await Promise.all(artifacts.map((bytes) => executor.putArtifact(bytes)));
    const results = await executor.execute(
      chunks.map((pairs) => ({
        kind: "score-pairs",
        ...{ checkpoint, codes: left!, queries: right!, rows: [3, 4, 5, 6, 29], pairs },
      })),
    );
    await executor.close();
    return results.flatMap(({ tensors }) => [...tensors.sums!.data]);
  };
  const alone = await sums(
    1,
    every.map((pair) => [pair]),
  );

  expect(await sums(2, [every])).toEqual(alone);
  expect(await sums(2, [every.slice(0, 1), every.slice(1)])).toEqual(alone);
  expect(await sums(8, [every.slice(0, 4), every.slice(4)])).toEqual(alone);
  expect(new Set(alone).size).toBe(9);
});
