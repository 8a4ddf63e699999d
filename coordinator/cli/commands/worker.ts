import { FORMS } from "../../../worker/form-names.ts";
import { type CompiledWorkerOptions, WorkerOptionsError } from "../../../worker/options.ts";
import { startWorker } from "../../../worker/run.ts";
import { defineCommand, onAbort } from "../command.ts";
import { deviceOption, serviceOptions } from "../common-options.ts";
import { InputError } from "../errors.ts";
import {
  problemsOf,
  requireReadableFile,
  requireReadableFolder,
  requireWritableFolder,
} from "../named-paths.ts";
import { natsCaOption } from "../nats-options.ts";
import { grouped, hostPorts, oneOf, option, optionalPath, wholeNumber } from "../options.ts";
import { addressesIn, protectionOf, protectionOptions, requireProtection } from "../protection.ts";

export const worker = defineCommand({
  name: "worker",
  isService: true,
  summary: "compute for a coordinator: dials it, takes leases, gives results, until told to stop",
  help: `
A worker dials its coordinator and needs no open port. It may come and go: what it had begun goes to others. SIGTERM (or Ctrl-C) lets it finish
or give back what it holds, within ten seconds. On a GPU it first compares its results with the CPU's, and ends where they are off (docs/devices.md).

  elibad worker --coordinator 127.0.0.1:7070 --insecure
  elibad worker --coordinator a:7070,b:7070 --tls-cert certs/worker.crt --tls-key certs/worker.key --tls-ca certs/ca.crt
  CUDA_VISIBLE_DEVICES=1 elibad worker --config worker.yaml --device cuda`,
  options: {
    ...grouped("Worker", {
      coordinator: option(
        "--coordinator <host:port,…>",
        "addresses of the coordinator, tried in turn",
        hostPorts,
      ),
      device: deviceOption,
      form: option(
        "--form <form>",
        "form of programs to offer beside the primitive one; auto: each that is checked right here",
        oneOf(...FORMS).default("auto"),
      ),
      threads: option(
        "--threads <n>",
        "CPU threads of the inference process",
        wholeNumber(1, 1024).optional(),
        "all cores",
      ),
      cache: optionalPath("--cache <dir>", "folder for checkpoints and samples", "the user's cache folder"),
      models: optionalPath(
        "--models <dir>",
        "volume of models that the coordinator sees, too, with --models there; it need not be writable",
        "models come from the coordinator",
      ),
    }),
    ...protectionOptions,
    ...grouped("TLS", { natsCa: natsCaOption }),
    ...serviceOptions,
  },
  problems: ({ coordinator, cache, models, natsCa, ...options }) =>
    problemsOf([
      () =>
        coordinator !== undefined &&
        requireProtection(options, { option: "--coordinator", addresses: addressesIn(coordinator) }),
      () => natsCa !== undefined && requireReadableFile("--nats-ca", natsCa),
      () => cache !== undefined && requireWritableFolder("--cache", cache),
      () => models !== undefined && requireReadableFolder("--models", models),
    ]),
  async run(options, { signal }) {
    const coordinators = addressesIn(options.coordinator);
    const running = await start({
      coordinators,
      protection: protectionOf(options, { option: "--coordinator", addresses: coordinators }),
      device: options.device,
      form: options.form,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.cache === undefined ? {} : { cacheFolder: options.cache }),
      ...(options.models === undefined ? {} : { models: options.models }),
      ...(options.natsCa === undefined ? {} : { natsCa: options.natsCa }),
      metricsHost: options.metricsHost,
      ...(options.metricsPort === undefined ? {} : { metricsPort: options.metricsPort }),
      logLevel: options.logLevel,
      logFormat: options.log,
    });
    onAbort(signal, () => running.drain("told to stop"));
    const end = await running.done;
    if (end.kind !== "stopped") throw new Error(end.reason);
  },
});

async function start(
  options: Partial<CompiledWorkerOptions> & Pick<CompiledWorkerOptions, "coordinators" | "protection">,
) {
  try {
    return await startWorker(options);
  } catch (error) {
    if (error instanceof WorkerOptionsError) throw new InputError(error.message);
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") {
      throw new Error(`--metrics-port ${options.metricsPort}: the port is in use`);
    }
    throw error;
  }
}
