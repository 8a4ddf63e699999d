/** The inference child of a worker: onnxruntime in a process of its own. Started by the supervisor only. */
import { join } from "node:path";
import { OperationFailed } from "../../proto/operation-failed.ts";
import { rightForms } from "../runtime/check-forms.ts";
import { Engine } from "../runtime/engine.ts";
import { serveChild } from "./serve.ts";

await serveChild(async ({ artifactFolder, device, form, rightForms: known, resultFolder, threads }) => {
  if (device !== "cpu") {
    throw new OperationFailed(`device '${device}' is not supported; this version computes on: cpu`);
  }
  const log = (message: string) => process.stderr.write(`${message}\n`);
  const forms = known ?? (await rightForms(form, { folder: join(resultFolder, "checks"), threads, log }));
  const engine = new Engine({
    // The supervisor sends an operation when its artifacts are there.
    resolveArtifact: async (digest) => join(artifactFolder, digest),
    programFolder: join(resultFolder, "programs"),
    resultFolder,
    threads,
    log,
  });
  return {
    deviceClass: engine.deviceClass,
    forms,
    run: (operation, partDone) => engine.run(operation, partDone),
  };
});
