import { join } from "node:path";
import { Writable } from "node:stream";
import { onTestFinished } from "vitest";
import { type RunOptions, runCoordinator } from "../../coordinator/cli/run-coordinator.ts";
import type { StatePlace } from "../../coordinator/cli/state-options.ts";
import { createLogger } from "../../worker/logging.ts";
import { freeAddress } from "./sweep-processes.ts";
import { tempFolder } from "./temp-folder.ts";
import { eventually } from "./worker-scenes.ts";

/** `elibad coordinator --state` in this process, until the test ends. */
export interface SweepHostHere {
  readonly address: string;
  readonly place: StatePlace;
  log(): string;
  /** Told to stop, as by SIGTERM; rejects with what ended it otherwise. */
  stop(): Promise<void>;
}

export const embeddedPlace = (folder = join(tempFolder(), "state")): StatePlace => ({
  kind: "embedded",
  folder,
  file: join(folder, "state.db"),
});

export async function startSweepHost(
  place: StatePlace = embeddedPlace(),
  options: Partial<RunOptions> = {},
): Promise<SweepHostHere> {
  const address = await freeAddress();
  let text = "";
  const destination = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  const logger = createLogger({ level: "debug", name: "coordinator", destination });
  const stop = new AbortController();
  const ended = runCoordinator(
    place,
    {
      listen: address,
      protection: "plain",
      advertise: undefined,
      artifacts: undefined,
      models: undefined,
      nats: undefined,
      metricsPort: undefined,
      metricsHost: "127.0.0.1",
      jobsInFlight: 2,
      commandsInFlight: 2,
      uploadGb: 1,
      bucketCacheGb: 1,
      dispatch: {},
      ...options,
    },
    { logger, signal: stop.signal },
  );
  // A test looks at how it ended, or at what it does not answer any more.
  ended.catch(() => undefined);
  onTestFinished(async () => {
    stop.abort();
    await ended.catch(() => undefined);
  });
  await Promise.race([
    eventually(() => / leading \(|standing by/.test(text), "a coordinator that leads or stands by"),
    ended,
  ]);
  return {
    address,
    place,
    log: () => text,
    async stop() {
      stop.abort();
      await ended;
    },
  };
}
