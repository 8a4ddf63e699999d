/** The inference child of a worker: onnxruntime in a process of its own. Started by the supervisor only. */
import { join } from "node:path";
import { OperationFailed } from "../../proto/operation-failed.ts";
import { Engine } from "../runtime/engine.ts";
import { serveChild } from "./serve.ts";

await serveChild(async ({ artifactFolder, device, resultFolder, threads }) => {
  if (device !== "cpu") {
    throw new OperationFailed(`device '${device}' is not supported; this version computes on: cpu`);
  }
  return new Engine({
    // The supervisor sends an operation when its artifacts are there.
    resolveArtifact: async (digest) => join(artifactFolder, digest),
    programFolder: join(resultFolder, "programs"),
    resultFolder,
    threads,
    log: (message) => process.stderr.write(`${message}\n`),
  });
});
