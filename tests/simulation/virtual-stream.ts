/** A gRPC stream between a worker and a coordinator: in order in each direction, until it is cut with all that is under way. */
import type { ClientDuplexStream, ServerDuplexStream } from "@grpc/grpc-js";
import type { CoordinatorMessage, WorkerMessage } from "../../proto/messages.ts";
import type { Random } from "./random.ts";
import type { Calendar, Process } from "./virtual-time.ts";

type Listener = (value?: unknown) => void;

/** One end, with as much of Node's stream as the worker and the coordinator use. */
class End<Out> {
  readonly process: Process;
  readonly #listeners = new Map<string, Listener[]>();
  readonly #write: (message: Out) => boolean;
  readonly #end: () => void;
  readonly #cancel: () => void;

  constructor(process: Process, acts: { write(message: Out): boolean; end(): void; cancel(): void }) {
    this.process = process;
    this.#write = acts.write;
    this.#end = acts.end;
    this.#cancel = acts.cancel;
  }

  on(event: string, listener: Listener): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  getPeer(): string {
    return "simulated";
  }

  emit(event: string, value?: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(value);
  }

  write(message: Out): boolean {
    return this.process.isAlive ? this.#write(message) : true;
  }

  end(): void {
    if (this.process.isAlive) this.#end();
  }

  cancel(): void {
    if (this.process.isAlive) this.#cancel();
  }
}

export type Direction = "toWorker" | "toCoordinator";

/** What the network does to a stream. */
export interface NetworkTraits {
  /** Milliseconds of a message, at least and at most. */
  readonly delayMs: readonly [number, number];
  /** Messages under way above which a writer is told to wait. */
  readonly window: number;
  /** A peer that is silent for so long is given up. */
  readonly keepaliveMs: number;
}

export interface StreamParts {
  readonly calendar: Calendar;
  readonly random: Random;
  readonly traits: NetworkTraits;
  readonly worker: Process;
  readonly coordinator: Process;
  /** Sees, and may change, what arrives. */
  readonly onMessage: (direction: Direction, message: WorkerMessage | CoordinatorMessage) => unknown;
  readonly onOver: () => void;
}

interface Lane {
  lastAt: number;
  underWay: number;
  isFull: boolean;
  hasEnded: boolean;
}

export class VirtualStream {
  readonly worker: Process;
  readonly coordinator: Process;
  readonly client: ClientDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly server: ServerDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly #parts: StreamParts;
  readonly #client: End<WorkerMessage>;
  readonly #server: End<CoordinatorMessage>;
  readonly #lanes: { readonly [D in Direction]: Lane } = {
    toWorker: { lastAt: 0, underWay: 0, isFull: false, hasEnded: false },
    toCoordinator: { lastAt: 0, underWay: 0, isFull: false, hasEnded: false },
  };
  /** Nothing that is sent arrives any more. */
  isCut = false;
  /** The coordinator's end has heard that it is over. */
  serverKnows = false;
  clientKnows = false;

  constructor(parts: StreamParts) {
    this.#parts = parts;
    this.worker = parts.worker;
    this.coordinator = parts.coordinator;
    this.#client = new End<WorkerMessage>(parts.worker, {
      write: (message) => this.#send("toCoordinator", message),
      end: () => this.#finish("toCoordinator"),
      cancel: () => this.#cancelled(),
    });
    this.#server = new End<CoordinatorMessage>(parts.coordinator, {
      write: (message) => this.#send("toWorker", message),
      end: () => this.#finish("toWorker"),
      cancel: () => {},
    });
    this.client = this.#client as never;
    this.server = this.#server as never;
    parts.worker.onDeath(() => this.#peerDied("worker"));
    parts.coordinator.onDeath(() => this.#peerDied("coordinator"));
  }

  get isOver(): boolean {
    return this.isCut;
  }

  /** Messages that are under way are lost, and both ends hear of it some time later. */
  cut(heardAfterMs: number): void {
    if (this.isCut) return;
    this.isCut = true;
    this.#tellClient(heardAfterMs);
    this.#tellServer(heardAfterMs);
    this.#parts.onOver();
  }

  /** What is sent in this direction arrives only after a while, in order; after too long a while the stream is given up. */
  stall(direction: Direction, ms: number): void {
    const { calendar, traits } = this.#parts;
    const lane = this.#lanes[direction];
    lane.lastAt = Math.max(lane.lastAt, calendar.now + ms);
    if (ms > traits.keepaliveMs) calendar.after(traits.keepaliveMs, () => this.cut(1));
  }

  #send(direction: Direction, message: WorkerMessage | CoordinatorMessage): boolean {
    const { calendar, traits, random, onMessage } = this.#parts;
    const lane = this.#lanes[direction];
    if (this.isCut || lane.hasEnded) return true;
    const at = Math.max(lane.lastAt, calendar.now + random.int(traits.delayMs[0], traits.delayMs[1]));
    lane.lastAt = at;
    lane.underWay++;
    const to = direction === "toWorker" ? this.#client : this.#server;
    const from = direction === "toWorker" ? this.#server : this.#client;
    calendar.at(
      at,
      () => {
        lane.underWay--;
        if (this.isCut) return;
        const arrived = onMessage(direction, message);
        if (arrived !== undefined) to.emit("data", arrived);
        if (!lane.isFull || lane.underWay > traits.window / 2) return;
        lane.isFull = false;
        calendar.at(calendar.now, () => !this.isCut && from.emit("drain"), from.process);
      },
      to.process,
    );
    if (lane.underWay > traits.window) lane.isFull = true;
    return !lane.isFull;
  }

  /** An end says that it sends no more; when both have, the stream is over. */
  #finish(direction: Direction): void {
    const { calendar } = this.#parts;
    const lane = this.#lanes[direction];
    if (this.isCut || lane.hasEnded) return;
    lane.hasEnded = true;
    const to = direction === "toWorker" ? this.#client : this.#server;
    const at = Math.max(lane.lastAt, calendar.now + 1);
    calendar.at(
      at,
      () => {
        if (this.isCut) return;
        if (direction === "toWorker") {
          // The server's end is the call's: it carries the status.
          this.isCut = true;
          this.clientKnows = this.serverKnows = true;
          this.#parts.onOver();
        }
        to.emit("end");
      },
      to.process,
    );
  }

  #cancelled(): void {
    if (this.isCut) return;
    this.isCut = true;
    this.clientKnows = true;
    this.#tellServer(this.#parts.traits.delayMs[1]);
    this.#parts.onOver();
  }

  /** The system closes a dead process' streams. */
  #peerDied(who: "worker" | "coordinator"): void {
    if (this.isCut) return;
    this.isCut = true;
    const { calendar, traits } = this.#parts;
    // It looks like an orderly end first, to a server.
    if (who === "worker") {
      calendar.at(calendar.now + traits.delayMs[1], () => this.#serverHears("end"), this.coordinator);
    } else this.#tellClient(traits.delayMs[1]);
    this.#parts.onOver();
  }

  #tellClient(ms: number): void {
    const { calendar } = this.#parts;
    const tell = (): void => {
      if (this.clientKnows) return;
      this.clientKnows = true;
      this.#client.emit("error", new Error("the connection was lost"));
    };
    calendar.at(calendar.now + ms, tell, this.worker);
  }

  #tellServer(ms: number): void {
    const { calendar } = this.#parts;
    calendar.at(calendar.now + ms, () => this.#serverHears("cancelled"), this.coordinator);
  }

  #serverHears(event: "end" | "cancelled"): void {
    if (this.serverKnows) return;
    this.serverKnows = true;
    this.#server.emit(event);
  }
}
