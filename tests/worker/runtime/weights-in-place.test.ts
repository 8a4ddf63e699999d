import {
  copyFileSync,
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalJson, digestOf } from "../../../proto/canonical-json.ts";
import type { Digest, SampleSet } from "../../../proto/operations.ts";
import { encodeOnnx, Graph, matMul, tensor, tensorBytes } from "../../../worker/graph/index.ts";
import { Engine } from "../../../worker/runtime/engine.ts";
import { createSession } from "../../../worker/runtime/session.ts";
import { randomModel } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const samples: SampleSet = { rows: [[0, 5, 6, 7, 2]], insertIndexes: [1], maxLen: 64, endId: 2 };

/** Answers of a model whose artifacts are put into a folder by `bring`, and what became of its files. */
async function predicted(model: string, bring: (file: string, artifact: string) => void) {
  const artifacts = tempFolder();
  const at = (digest: Digest): string => join(artifacts, digest);
  const put = (bytes: Uint8Array): Digest => {
    const digest = digestOf(bytes);
    writeFileSync(at(digest), bytes);
    return digest;
  };
  const files = ["config.json", "model.bin"].map((name) => {
    const bytes = readFileSync(join(model, name));
    bring(join(model, name), at(digestOf(bytes)));
    return { name, digest: digestOf(bytes), bytes: bytes.length };
  });
  const checkpoint = put(Buffer.from(canonicalJson({ task: "defect_detection", files })));
  const lines: string[] = [];
  const programFolder = tempFolder();
  const engine = new Engine({
    resolveArtifact: async (digest) => at(digest),
    programFolder,
    resultFolder: tempFolder(),
    threads: 1,
    log: (line) => void lines.push(line),
  });
  const set = put(Buffer.from(canonicalJson(samples)));
  const { tensors } = await engine.run({ kind: "predict", checkpoint, samples: set, rows: [0] });
  const weights = join(programFolder, checkpoint, "model.bin");
  const isLink = lstatSync(weights).isSymbolicLink();
  await engine.close();
  return { logits: tensors.logits, lines, isLink };
}

test("a model whose weights stay where they lie answers as one whose weights are linked, bit by bit", async () => {
  const model = await randomModel();
  const linked = await predicted(model, linkSync);
  const inPlace = await predicted(model, symlinkSync);
  expect(inPlace.logits).toEqual(linked.logits);
  expect([linked.isLink, inPlace.isLink]).toEqual([false, true]);
  expect(inPlace.lines).toEqual([]);
});

test("weights that lie under another name are copied, and the log says so", async () => {
  const model = await randomModel();
  const linked = await predicted(model, linkSync);
  const elsewhere = tempFolder();
  const copied = await predicted(model, (file, artifact) => {
    const other = join(elsewhere, `${readdirSync(elsewhere).length}.bin`);
    copyFileSync(file, other);
    symlinkSync(other, artifact);
  });
  expect(copied.logits).toEqual(linked.logits);
  expect(copied.isLink).toBe(false);
  expect(copied.lines.join("\n")).toMatch(/1\.bin was copied: it does not lie together/);
});

test.skipIf(process.platform !== "linux")(
  "weights in a folder of their own are mapped from there",
  async () => {
    const [volume, programs] = [tempFolder(), tempFolder()];
    const ones = tensor("float32", [512, 512], Array(512 * 512).fill(1));
    writeFileSync(join(volume, "model.bin"), tensorBytes(ones));
    const graph = new Graph();
    const x = graph.input("x", "float32", ["B", 512]);
    const place = { file: "model.bin", offset: 0, length: 4 * 512 * 512 };
    graph.output("y", matMul(x, graph.weight("w", "float32", [512, 512], place)));
    const path = join(programs, "program.onnx");
    writeFileSync(path, encodeOnnx(graph));
    const session = await createSession(path, { threads: 1, packWeights: false, weightsFolder: volume });
    const { y } = await session.run({ x: { shape: [1, 512], data: new Float32Array(512).fill(2) } }, ["y"]);
    expect(y!.data[511]).toBe(1024);
    expect(readFileSync("/proc/self/maps", "utf8")).toContain(join(volume, "model.bin"));
    await session.release();
  },
);
