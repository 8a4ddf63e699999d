import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../worker/logging.ts";
import { programVersion } from "../../../worker/program-version.ts";
import { defineCommand, onAbort } from "../command.ts";
import { clusterOptions, serviceOptions } from "../common-options.ts";
import { grouped, hostPort, option, optionalPath, wholeNumber } from "../options.ts";
import { serveCommands } from "../serve-commands.ts";
import { startCommandsCoordinator } from "../start-coordinator.ts";

export const coordinator = defineCommand({
  name: "coordinator",
  isService: true,
  summary: "run a coordinator: workers dial it, and commands are sent to it with --coordinator",
  help: `
Waits for workers (elibad worker --coordinator HOST:PORT) and runs the commands that are submitted to it, several at a time, in the order in which they come. Paths in a submitted command
are those of this machine.

  elibad coordinator --listen 127.0.0.1:7070 --metrics-port 9464
  elibad worker --coordinator 127.0.0.1:7070
  elibad scan … --coordinator 127.0.0.1:7070`,
  options: {
    ...grouped("Coordinator", {
      listen: option(
        "--listen <host:port>",
        "address for workers and commands",
        hostPort.default("127.0.0.1:7070"),
      ),
      insecure: clusterOptions.insecure,
      nats: clusterOptions.nats,
      artifacts: optionalPath(
        "--artifacts <dir>",
        "folder for artifacts",
        "a temporary one, removed at the end",
      ),
      commandsInFlight: option(
        "--commands-in-flight <n>",
        "commands that run at a time; the others wait",
        wholeNumber(1, 10_000).default(16),
      ),
    }),
    ...serviceOptions,
  },
  async run(options, { signal }) {
    const logger = createLogger({ level: options.logLevel, format: options.log, name: "coordinator" });
    const own =
      options.artifacts === undefined ? mkdtempSync(join(tmpdir(), "elibad-artifacts-")) : undefined;
    const commands = serveCommands(logger, options.commandsInFlight);
    try {
      const running = await startCommandsCoordinator({
        listen: options.listen,
        insecure: options.insecure,
        artifactFolder: options.artifacts ?? own!,
        programVersion: programVersion(),
        ...(options.nats === undefined ? {} : { natsUrl: options.nats }),
        ...(options.metricsPort === undefined ? {} : { metrics: { port: options.metricsPort } }),
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
