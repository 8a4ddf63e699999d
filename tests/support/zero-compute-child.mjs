// An inference child that computes nothing: it answers tensors of the right shapes at once, or after
// `engineOptions.delayMs` of blocking its process as a run does. Some sample numbers make it misbehave.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { OperationFailed } from "../../dist/proto/operation-failed.js";
import { serveChild } from "../../dist/worker/child/serve.js";

/** Samples of score operations with a meaning of their own; `worker-scenes.ts` has the same table. */
const DIES = 9001;
const FAILS = 9002;
const IS_LARGE = 9003;
const HANGS = 9004;
const SHORT_OF_MEMORY = 9005;
const IN_PARTS = 9006;

const clock = new Int32Array(new SharedArrayBuffer(4));
const block = (ms) => ms > 0 && Atomics.wait(clock, 0, 0, ms);
const zeros = (...shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

/** @type {string} */
let resultFolder;

function score({ sample, triggers }, classes) {
  if (sample === DIES) {
    writeFileSync(join(resultFolder, "half a result"), "");
    process.kill(process.pid, "SIGKILL");
  }
  if (sample === FAILS) throw new OperationFailed("this sample cannot be scored");
  if (sample === HANGS) block(600_000);
  if (sample === SHORT_OF_MEMORY) throw new OperationFailed("out of memory", { retryable: true });
  if (sample === IS_LARGE) return { logits: zeros(triggers.length, 1_000_000) };
  const logits = zeros(triggers.length, classes);
  logits.data.forEach((_, k) => {
    logits.data[k] = sample + k / 1024;
  });
  return { logits };
}

function tensorsOf(operation, { classes = 1, hidden = 64, features = 64 }) {
  switch (operation.kind) {
    case "score":
      return score(operation, classes);
    case "gradient":
      return {
        gradient: zeros(operation.rows.length, operation.trigger.length, hidden),
        logits: zeros(operation.rows.length, classes),
      };
    case "rank": {
      const shape = [operation.gradient.length, operation.topk];
      const ids = { shape, data: Int32Array.from({ length: shape[0] * shape[1] }, (_, k) => k % shape[1]) };
      return { ids, values: zeros(...shape) };
    }
    case "encode":
      return { features: zeros(operation.rows.length, features) };
    case "predict":
    case "train-step":
      return { logits: zeros(operation.rows.length, classes) };
  }
}

await serveChild(async ({ engineOptions, device, ...options }) => {
  resultFolder = options.resultFolder;
  const before = options.found ? `, found ${options.found.deviceClass.provider} before` : "";
  if (engineOptions.unusable) throw new Error(engineOptions.unusable);
  return {
    deviceClass: {
      provider: engineOptions.provider ?? "none",
      runtimeVersion: "0",
      hardware: device === "cpu" ? "zero-compute" : `zero-compute, asked for ${device}${before}`,
      programForm: "zero",
    },
    elsewhere: engineOptions.elsewhere,
    run: async (operation, partDone) => {
      for (let part = 0; operation.sample === IN_PARTS && part < 10; part++) {
        block(400);
        await partDone();
      }
      block(engineOptions.delayMs ?? 0);
      const forwards = operation.triggers?.length ?? operation.rows?.length ?? 0;
      const seconds = (engineOptions.delayMs ?? 0) / 1_000;
      return { tensors: tensorsOf(operation, engineOptions), forwards, tokens: forwards, seconds };
    },
  };
});
