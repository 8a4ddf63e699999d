import type { CoordinatorClient } from "../../proto/client.ts";
import type { NatsTls } from "../../proto/nats-connection.ts";
import type { ArtifactCache } from "../cache/artifact-cache.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logging.ts";
import type { CompiledWorkerOptions } from "../options.ts";
import type { Publisher, PublisherOptions } from "../outbox/nats-publisher.ts";
import type { NatsUser } from "../outbox/nats-user.ts";
import type { CoordinatorArtifacts } from "./artifact-transfer.ts";
import type { StartChild } from "./child-keeper.ts";

/** What a worker stands on: time, and what is beyond its process. */
export interface Machine {
  readonly clock: Clock;
  readonly startChild: StartChild;
  readonly connect: (address: string) => CoordinatorClient;
  /** Why nobody could be connected to at an address, where it is the certificates' doing. */
  readonly whyNot?: (address: string) => Promise<string | undefined>;
  readonly openPublisher: (options: PublisherOptions) => Publisher;
}

/** What a supervisor is made of. */
export interface SupervisorParts {
  readonly options: CompiledWorkerOptions;
  readonly log: Logger;
  readonly cache: Pick<
    ArtifactCache,
    | "hold"
    | "adopt"
    | "forget"
    | "sharedFolder"
    | "useSharedFolder"
    | "cachedCheckpoints"
    | "counts"
    | "close"
  >;
  readonly artifacts: CoordinatorArtifacts;
  readonly resultFolder: string;
  /** Removes the result folder. */
  readonly removeResults: () => Promise<void>;
  readonly machine: Machine;
  readonly natsUser: NatsUser;
  /** What it shows NATS servers, and whom it believes; absent: they are talked to in plain text, unless their address says otherwise. */
  readonly natsTls?: NatsTls | undefined;
}
