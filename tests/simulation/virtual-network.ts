/** Between workers and coordinators: who is reached under which name, and what happens to messages on the way. */
import { EventEmitter } from "node:events";
import type { CoordinatorClient } from "../../proto/client.ts";
import type { CoordinatorMessage, WorkerMessage } from "../../proto/messages.ts";
import * as invariants from "./invariants.ts";
import type { Random } from "./random.ts";
import type { VirtualCoordinator } from "./virtual-coordinator.ts";
import { type Direction, type NetworkTraits, VirtualStream } from "./virtual-stream.ts";
import type { Process } from "./virtual-time.ts";
import type { VirtualWorker } from "./virtual-worker.ts";
import type { World } from "./world.ts";

/** What befalls result envelopes on their way. */
export type EnvelopeFate = "result damaged on the way" | "result sent twice" | "result late";

const LATE_MS = 600;

export class VirtualNetwork {
  readonly streams = new Set<VirtualStream>();
  /** The first one befalls the next message with results. */
  readonly fates: EnvelopeFate[] = [];
  readonly #world: World;
  readonly #random: Random;
  readonly #traits: NetworkTraits;
  #dialled = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#traits = {
      delayMs: [1, random.pick([3, 10, 40])],
      window: random.pick([3, 64, 1_000]),
      keepaliveMs: world.settings.keepaliveMs,
    };
  }

  /** The peers of a paused process hear nothing of it, and give it up when that takes too long. */
  pause(process: Process, ms: number): void {
    process.pause(ms);
    const { keepaliveMs } = this.#traits;
    if (ms <= keepaliveMs) return;
    for (const stream of this.streams)
      if (stream.worker === process || stream.coordinator === process)
        this.#world.calendar.after(keepaliveMs, () => stream.cut(1));
  }

  /** A worker dials: whoever has that name answers, if it is there. */
  dial(worker: VirtualWorker, address: string): CoordinatorClient {
    const work = (): unknown => {
      const coordinator = this.#world.coordinators.find(({ name }) => `${name}:1` === address);
      return coordinator?.process.isAlive
        ? this.#connect(worker, coordinator)
        : this.#refused(worker.process);
    };
    return { work, close: () => undefined } as unknown as CoordinatorClient;
  }

  #connect(worker: VirtualWorker, coordinator: VirtualCoordinator): VirtualStream["client"] {
    const { calendar } = this.#world;
    const stream = new VirtualStream({
      calendar,
      random: this.#random.branch(`stream ${++this.#dialled}`),
      traits: this.#traits,
      worker: worker.process,
      coordinator: coordinator.process,
      onMessage: (direction, message) => this.#onMessage(direction, message, worker, coordinator),
      onOver: () => void this.streams.delete(stream),
    });
    const arrive = (): void => {
      if (stream.isOver) return;
      if (!coordinator.isLeading) {
        this.#sendAway(stream);
        return;
      }
      this.streams.add(stream);
      coordinator.serve(stream);
    };
    calendar.at(calendar.now, arrive, coordinator.process);
    return stream.client;
  }

  /** A standby says who leads; one that is only starting, or ending, says nothing. */
  #sendAway(stream: VirtualStream): void {
    const { plan, store, count } = this.#world;
    if (plan.store === "embedded") {
      stream.cut(1);
      return;
    }
    count("sent away by a standby");
    stream.server.write({ message: "notLeader", notLeader: { address: store.leaderAddress } });
    stream.server.end();
  }

  /** Nobody listens there. */
  #refused(process: Process): unknown {
    const emitter = new EventEmitter();
    process.after(2, () => emitter.emit("error", new Error("connection refused")));
    return Object.assign(emitter, { write: () => true, end: () => undefined, cancel: () => undefined });
  }

  /** What arrives of a message; undefined where nothing does now. */
  #onMessage(
    direction: Direction,
    message: WorkerMessage | CoordinatorMessage,
    worker: VirtualWorker,
    coordinator: VirtualCoordinator,
  ): unknown {
    const { note, guarded } = this.#world;
    const { message: kind } = message;
    const isOut = direction === "toWorker";
    if (kind !== "heartbeat")
      note(isOut ? `${worker.id} gets ${kind}` : `${coordinator.name} gets ${kind} of ${worker.id}`);
    if (message.message === "accepted")
      for (const fingerprint of message.accepted.fingerprints)
        guarded(() => invariants.acceptedIsTaken(coordinator.taken, fingerprint, worker.id));
    if (message.message !== "resultEnvelopes") return message;
    const envelopes = this.#befallen(message.resultEnvelopes.envelopes, worker.id, coordinator);
    return envelopes && { message: kind, resultEnvelopes: { envelopes } };
  }

  #befallen(
    envelopes: readonly Uint8Array[],
    workerId: string,
    coordinator: VirtualCoordinator,
  ): readonly Uint8Array[] | undefined {
    const { calendar, count } = this.#world;
    const fate = this.fates.shift();
    if (fate === undefined) return envelopes;
    count(`fault: ${fate}`);
    switch (fate) {
      case "result sent twice":
        return [...envelopes, ...envelopes];
      case "result damaged on the way":
        return envelopes.map((bytes) => bytes.subarray(0, bytes.length - 5));
      case "result late": {
        const deliver = (): void => {
          for (const bytes of envelopes) coordinator.receive(bytes, workerId, "stream");
        };
        calendar.at(calendar.now + LATE_MS, deliver, coordinator.process);
        return undefined;
      }
    }
  }
}
