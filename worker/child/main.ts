/** The inference child of a worker: onnxruntime in a process of its own. Started by the supervisor only. */
import { join } from "node:path";
import { rightForms } from "../runtime/check-forms.ts";
import { Engine } from "../runtime/engine.ts";
import { isSameDevice, openDevice } from "../runtime/open-device.ts";
import { serveChild } from "./serve.ts";

await serveChild(async ({ artifactFolder, device: name, form, found, resultFolder, threads }) => {
  const log = (message: string) => process.stderr.write(`${message}\n`);
  const checks = { folder: join(resultFolder, "checks"), threads, log };
  const device = await openDevice(name, { ...checks, ...(found && { found }) });
  const isChecked = found !== undefined && isSameDevice(device.deviceClass, found.deviceClass);
  const forms = isChecked ? found.forms : await rightForms(form, { ...checks, device });
  const engine = new Engine({
    // The supervisor sends an operation when its artifacts are there.
    resolveArtifact: async (digest) => join(artifactFolder, digest),
    programFolder: join(resultFolder, "programs"),
    resultFolder,
    threads,
    device,
    log,
  });
  const { deviceClass, elsewhere } = device;
  return { deviceClass, elsewhere, forms, run: (operation, partDone) => engine.run(operation, partDone) };
});
