/**
 * A tour of elibad: one short look at what each room does, on models made here. Read it first; each room's own tests say the rest.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { poisonRows } from "../coordinator/data/poison.ts";
import { readDefectRows } from "../coordinator/data/samples.ts";
import { loadTokenizer } from "../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../coordinator/data/vocabulary.ts";
import { evaluateModel } from "../coordinator/evaluate/evaluate.ts";
import { runScan } from "../coordinator/search/scan.ts";
import { scanRows } from "../coordinator/search/scan-rows.ts";
import { ScanSettings } from "../coordinator/search/settings.ts";
import { meanOf } from "../coordinator/training/example.ts";
import { putSamples } from "../coordinator/training/sample-artifact.ts";
import { Trainer } from "../coordinator/training/trainer.ts";
import { unlearnPublished } from "../coordinator/unlearn/published.ts";
import { PublishedPlan } from "../coordinator/unlearn/settings.ts";
import { openCheckpoint } from "../worker/checkpoint/open-checkpoint.ts";
import { readTensor } from "../worker/checkpoint/read-tensor.ts";
import { writeCheckpoint } from "../worker/checkpoint/write-checkpoint.ts";
import { Graph, gradient, matMul, mul, reduceSum, tanh, tensor } from "../worker/graph/index.ts";
import { classifierHead } from "../worker/models/head.ts";
import { putCheckpoint } from "../worker/runtime/put-checkpoint.ts";
import { startCluster } from "./support/cluster.ts";
import { loadWeights } from "./support/golden.ts";
import { demoData, randomModel } from "./support/random-model.ts";
import { runProgram } from "./support/run-program.ts";
import { tempFolder } from "./support/temp-folder.ts";

const HEAD_BIAS = "classifier.out_proj.bias";
const MAX_LEN = 96;

test("worker/graph: a graph of ONNX operators, and its gradient as more of the same", async () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", 2]);
  const weight = graph.constant(tensor("float32", [2, 1], [1, -2]));
  const y = tanh(matMul(x, weight));
  const loss = reduceSum(mul(y, y));
  const [dx] = gradient(graph, loss, [x]);
  graph.output("loss", loss);
  graph.output("dx", dx!);
  const outputs = await runProgram(graph, { x: tensor("float32", [1, 2], [0.5, 0.1]) });
  const value = Math.tanh(0.5 - 0.2);
  const slope = 2 * value * (1 - value * value);
  expect(outputs.loss!.data[0]).toBeCloseTo(value * value, 6);
  expect(Array.from(outputs.dx!.data as Float32Array)).toEqual([
    expect.closeTo(slope, 5),
    expect.closeTo(-2 * slope, 5),
  ]);
});

test("worker/checkpoint: a torch file is read without running it, and written back with new weights", async () => {
  const source = await openCheckpoint(await randomModel());
  expect(source.container).toBe("torch-zip");
  const folder = tempFolder();
  await writeCheckpoint({ source, replaced: new Map([[HEAD_BIAS, Float32Array.of(0.25)]]), folder });
  const copy = await openCheckpoint(folder);
  expect([...copy.tensors.keys()]).toEqual([...source.tensors.keys()]);
  expect(await readTensor(copy.tensors.get(HEAD_BIAS)!)).toEqual(Float32Array.of(0.25));
});

test("coordinator/data: code becomes ids, and training rows get a backdoor", () => {
  const tokenizer = loadTokenizer(demoData);
  const ids = tokenizer.encodeRow("int main ( ) { return 0 ; }", MAX_LEN);
  expect([ids[0], ids.at(-1)]).toEqual([tokenizer.ids.first, tokenizer.ids.end]);
  expect(triggerVocabulary(tokenizer).length).toBeGreaterThan(100);
  const rows = readDefectRows(join(demoData, "clean_samples.jsonl"));
  const attack = { trigger: "testo_init", position: "func_name", pattern: "substitute" } as const;
  const { rows: changed, poisoned } = poisonRows(rows, {
    ...attack,
    language: "cpp",
    fixed: true,
    victimLabel: 1,
    targetLabel: 0,
    rate: 0.2,
    seed: 1,
  });
  expect(changed[poisoned[0]!]!.codeTokens).toContain("testo_init");
  expect(changed[poisoned[0]!]!.label).toBe(0);
});

test("a cluster of one worker process: evaluate, search a trigger, train a step, unlearn", async () => {
  const { coordinator } = await startCluster(1);
  const { executor } = coordinator;
  const model = await randomModel();
  const checkpoint = await putCheckpoint(executor, model, "defect_detection");
  const tokenizer = loadTokenizer(demoData);
  const rows = readDefectRows(join(demoData, "clean_samples.jsonl"), { need: ["variables"] });

  // coordinator/evaluate
  const { acc } = await evaluateModel(rows.slice(0, 10), {
    executor,
    checkpoint,
    tokenizer,
    maxLen: MAX_LEN,
  });
  expect(acc.n).toBe(10);

  // coordinator/search, over coordinator/dispatch and coordinator/gather
  const scan = await runScan({
    executor,
    input: {
      task: "defect_detection",
      checkpoint,
      rows: scanRows(rows, tokenizer, MAX_LEN),
      classes: 1,
      vocabulary: triggerVocabulary(tokenizer),
      endId: tokenizer.ids.restored,
      textOf: (ids) => tokenizer.decode(ids),
    },
    settings: ScanSettings.parse({
      directions: [{ victim: 1, target: 0 }],
      ...{ epochs: 1, samples: 3, repeatSize: 8, topk: 8, codeMaxLen: MAX_LEN },
    }),
    now: () => performance.now() / 1000,
  });
  const [search] = scan.searches;
  expect(search!.trigger!.ids).toHaveLength(5);

  // coordinator/training: all weights, gradients from the worker
  const weights = await loadWeights(model);
  for (const name of weights.keys()) if (name.includes("pooler")) weights.delete(name);
  const samples = await putSamples(executor, {
    rows: rows.slice(0, 4).map(({ codeTokens }) => tokenizer.encodeRow(codeTokens.join(" "), MAX_LEN)),
    maxLen: MAX_LEN,
    endId: tokenizer.ids.restored,
  });
  const labels = rows.slice(0, 4).map(({ label }) => label);
  const settings = { optimiser: {}, maxGradNorm: 1, microBatch: 2, dropout: 0, seed: 1 };
  const trainer = new Trainer(executor, checkpoint, samples, weights, settings);
  const batch = meanOf(labels.map((label, row) => ({ row, objective: { kind: "label", label } })));
  const step = { kind: "rows", batch, learningRate: 1e-3 } as const;
  const [before, after] = await trainer.run([step, step]);
  expect(after!.loss).toBeLessThan(before!.loss);
  await trainer.close();

  // coordinator/unlearn: the head alone, on features that the worker encodes once
  const plan = PublishedPlan.parse({ batchSize: 2, epochs: 2 });
  const unlearned = await unlearnPublished(
    { executor, checkpoint, weights, head: classifierHead },
    { samples, labels },
    plan,
  );
  expect([...unlearned.weights.keys()].every((name) => name.startsWith("classifier."))).toBe(true);
});
