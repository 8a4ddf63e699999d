import { join } from "node:path";
import { connectToCoordinator, type Protection } from "../../proto/client.ts";
import type { NatsTls } from "../../proto/nats-connection.ts";
import { whyNot } from "../../proto/tls/why-not.ts";
import { ArtifactCache } from "../cache/artifact-cache.ts";
import { systemClock } from "../clock.ts";
import type { Logger } from "../logging.ts";
import type { CompiledWorkerOptions } from "../options.ts";
import { NatsPublisher } from "../outbox/nats-publisher.ts";
import { newNatsUser } from "../outbox/nats-user.ts";
import { makeResultFolder, removeResult } from "../outbox/result-folder.ts";
import { CoordinatorArtifacts } from "./artifact-transfer.ts";
import { InferenceChild } from "./inference-child.ts";
import type { Machine } from "./parts.ts";
import { Supervisor } from "./supervisor.ts";

const system = (protection: Protection): Machine => ({
  clock: systemClock,
  startChild: (entry, options, events) => new InferenceChild(entry, options, events),
  connect: (address) => connectToCoordinator(address, protection),
  whyNot: (address) => whyNot(address, protection),
  openPublisher: (options) => new NatsPublisher(options),
});

/** A supervisor on this machine: its cache, its folder of results, a real inference process and real connections. */
export async function startSupervisor(
  options: CompiledWorkerOptions,
  log: Logger,
  protection: Protection,
): Promise<Supervisor> {
  const artifacts = new CoordinatorArtifacts();
  const cache = await ArtifactCache.open({
    folder: options.cacheFolder,
    maxBytes: options.cacheBytes,
    source: artifacts,
    ...(options.models === undefined
      ? {}
      : { models: { folder: options.models, locate: (digest) => artifacts.locate(digest) } }),
    log: (message) => log.info(message),
  });
  const resultFolder = await makeResultFolder(join(options.cacheFolder, "results"), options.id);
  const removeResults = () => removeResult(resultFolder);
  const natsUser = newNatsUser();
  const machine = system(protection);
  const parts = { options, log, cache, artifacts, resultFolder, removeResults, machine, natsUser };
  return new Supervisor({ ...parts, natsTls: natsTls(options) });
}

/** What a worker shows NATS servers, and whom it believes: as with coordinators, but for the CAs where it is told others. */
function natsTls({ natsCa, protection }: CompiledWorkerOptions): NatsTls | undefined {
  if (protection === "plain") return natsCa === undefined ? undefined : { caFile: natsCa };
  const { cert: certFile, key: keyFile, ca } = protection;
  return { caFile: natsCa ?? ca, certFile, keyFile };
}
