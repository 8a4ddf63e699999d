import { join } from "node:path";
import { rightForms } from "../runtime/check-forms.ts";
import { Engine } from "../runtime/engine.ts";
import { isSameDevice, openDevice } from "../runtime/open-device.ts";
import type { ChildOptions } from "./messages.ts";
import type { ChildEngine } from "./serve.ts";

/** The engine of an inference child, on its device, once that was checked. @throws DeviceError where the device cannot be used */
export async function openEngine({
  artifactFolder,
  device: name,
  form,
  found,
  resultFolder,
  threads,
}: ChildOptions): Promise<ChildEngine> {
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
}
