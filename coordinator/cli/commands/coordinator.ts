import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../worker/logging.ts";
import { programVersion } from "../../../worker/program-version.ts";
import { type CommandSpec, defineCommand, onAbort } from "../command.ts";
import { serviceOptions } from "../common-options.ts";
import { coordinatorProblems } from "../coordinator-problems.ts";
import { httpOptions } from "../http-options.ts";
import { natsSigningOptions, natsWithSigning } from "../nats-options.ts";
import { grouped, hostPort, option, optionalPath, realNumber, wholeNumber } from "../options.ts";
import { openProtection, protectionOptions } from "../protection.ts";
import { runCoordinator } from "../run-coordinator.ts";
import { serveCommands } from "../serve-commands.ts";
import { startCommandsCoordinator } from "../start-coordinator.ts";
import { stateOptions, statePlace } from "../state-options.ts";
import { backup, restore } from "./coordinator-backup.ts";

export const coordinator = defineCommand({
  name: "coordinator",
  isService: true,
  subcommands: [backup, restore] as unknown as readonly CommandSpec[],
  summary: "run a coordinator: workers dial it, and commands and sweeps are sent to it with --coordinator",
  help: `
Waits for workers (elibad worker --coordinator HOST:PORT) and runs the commands that are submitted to it, several at a time, in the order in which they come. Paths in a submitted command
are those of this machine.

With --state DIR it keeps sweeps (elibad sweep submit), and goes on with them where it was after any end. DIR holds state.db, results/SWEEP/MODEL/ and artifacts/; one coordinator at a time
can use it. With --nats URL, too, the log of the sweeps is in JetStream, and several coordinators of one --log-name stand by for each other: the first one leads, the others answer with its address, and
one of them takes over within ten seconds after its end. DIR is then a folder that all of them see, at one path.

Workers and users show a certificate, and may do what its role may: a worker computes, a submitter sends commands and sweeps, an admin may remove sweeps and make backups, too. elibad certs makes certificates.
On this machine's own addresses --insecure does without.

  elibad coordinator --listen 127.0.0.1:7070 --insecure --state elibad-state --metrics-port 9464
  elibad coordinator --listen 10.0.0.5:7070 --tls-cert certs/coordinator.crt --tls-key certs/coordinator.key --tls-ca certs/ca.crt \\
    --state /shared/elibad --nats tls://a:4222,tls://b:4222,tls://c:4222 --nats-creds coordinator.creds --nats-signing-key signing.key --log-replicas 3
  elibad worker --coordinator 127.0.0.1:7070 --insecure
  elibad scan … --coordinator 127.0.0.1:7070 --insecure`,
  options: {
    ...grouped("Coordinator", {
      listen: option(
        "--listen <host:port>",
        "address for workers and commands",
        hostPort.default("127.0.0.1:7070"),
      ),
      advertise: option(
        "--advertise <host:port>",
        "where workers and users dial this coordinator, for a standby that names it to them",
        hostPort.optional(),
        "the address of --listen",
      ),
      artifacts: optionalPath(
        "--artifacts <dir>",
        "folder for artifacts",
        "artifacts in --state, else a temporary one, removed at the end",
      ),
      models: optionalPath(
        "--models <dir>",
        "volume of models that workers see, too, with --models there: its files are used where they lie, and not copied",
        "models are linked or copied into --artifacts",
      ),
      commandsInFlight: option(
        "--commands-in-flight <n>",
        "commands that run at a time; the others wait",
        wholeNumber(1, 10_000).default(16),
      ),
    }),
    ...protectionOptions,
    ...grouped("Trust", {
      recheckRate: option(
        "--recheck-rate <rate>",
        "share of results, 0 to 1, that another worker computes again and that are compared; a worker whose results are wrong is expelled",
        realNumber(0, 1).default(0.01),
      ),
    }),
    ...grouped("Sweeps", {
      ...stateOptions,
      ...natsSigningOptions,
      jobsInFlight: option(
        "--jobs-in-flight <n>",
        "jobs of sweeps that run at a time; each holds its model's samples, and while it unlearns its weights",
        wholeNumber(1, 1_000).default(8),
      ),
      uploadGb: option(
        "--upload-gb <n>",
        "gigabytes that uploaded models and samples may take; each stays until no job needs it",
        wholeNumber(1).default(200),
      ),
      bucketCacheGb: option(
        "--bucket-cache-gb <n>",
        "gigabytes that models fetched from buckets may take; those that no job holds go when room is needed",
        wholeNumber(1).default(100),
      ),
    }),
    ...httpOptions,
    ...serviceOptions,
  },
  problems: coordinatorProblems,
  async run(options, { signal }) {
    const logger = createLogger({ level: options.logLevel, format: options.log, name: "coordinator" });
    const warn = (message: string) => logger.warn(message);
    const nats = natsWithSigning(options, warn);
    const place = statePlace(options, warn);
    const protection = openProtection(
      options,
      { option: "--listen", addresses: [options.listen] },
      (message, isProblem) => logger[isProblem ? "warn" : "info"](message),
    );
    if (place !== undefined) {
      const dispatch = recheckSettings(options.recheckRate);
      return runCoordinator(place, { ...options, nats, protection, dispatch }, { logger, signal });
    }
    const own =
      options.artifacts === undefined ? mkdtempSync(join(tmpdir(), "elibad-artifacts-")) : undefined;
    const commands = serveCommands(logger, options.commandsInFlight);
    try {
      const running = await startCommandsCoordinator({
        listen: options.listen,
        protection,
        artifactFolder: options.artifacts ?? own!,
        models: options.models,
        programVersion: programVersion(),
        dispatch: recheckSettings(options.recheckRate),
        ...(nats === undefined ? {} : { nats }),
        ...(options.metricsPort === undefined
          ? {}
          : { metrics: { host: options.metricsHost, port: options.metricsPort } }),
        submit: commands.submit,
        logger,
      });
      commands.useCoordinator(running);
      await new Promise<void>((stop) => onAbort(signal, stop));
      await commands.close();
      await running.close();
    } finally {
      if (own !== undefined) rmSync(own, { recursive: true, force: true });
    }
  },
});

/** Which results are drawn nobody can foresee. */
const recheckSettings = (recheckRate: number) => ({ recheckRate, recheckSeed: randomInt(2 ** 47) });
