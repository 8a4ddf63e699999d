import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { CoordinatorMessage, Hello } from "../../proto/messages.ts";
import { MAX_INLINE_RESULT_BYTES } from "../../proto/result-envelope.ts";
import type { ReadyDevice } from "../child/messages.ts";
import { sleep } from "../clock.ts";
import { type FinalState, isFinal, mayBecome, type WorkerState } from "../life.ts";
import { WorkerMetrics } from "../metrics/worker-metrics.ts";
import { Outbox } from "../outbox/outbox.ts";
import { programVersion } from "../program-version.ts";
import { Broker } from "./broker.ts";
import { childLimits } from "./child-limits.ts";
import { type CoordinatorStream, NotLeaderError, RefusedError } from "./coordinator-stream.ts";
import { Delivery } from "./delivery.ts";
import { dialForever } from "./dial-forever.ts";
import { creditToGrant } from "./lease-book.ts";
import type { SupervisorParts } from "./parts.ts";
import { Workbench } from "./workbench.ts";

/** Part of the drain time that is kept for giving back and Goodbye. */
const GOODBYE_MS = 1_000;
/** Pause before dialling a coordinator again that asked the worker to leave. */
const REDIAL_MS = 3_000;
const DEFAULT_HEARTBEAT_MS = 2_000;

/**
 * A worker: the thin process between a coordinator and one inference child. It never computes and never blocks. Its states
 * are in `life.ts`; what happens to operations is in `workbench.ts`.
 */
export class Supervisor {
  readonly metrics: WorkerMetrics;
  /** Resolves when the worker has ended all that it started. */
  readonly done: Promise<FinalState>;
  readonly #parts: SupervisorParts;
  readonly #outbox: Outbox;
  readonly #delivery: Delivery;
  readonly #workbench: Workbench;
  /** Ends dialling and waiting. */
  readonly #over = new AbortController();
  readonly #incarnation = randomUUID();
  #state: WorkerState = { kind: "starting" };
  #finish: (state: FinalState) => void = () => {};
  #device: ReadyDevice | undefined;
  #stream: CoordinatorStream | undefined;
  readonly #broker: Broker;
  /** The name that the worker asks for; once it was welcomed, its id. */
  #id: string;
  #outstandingCredit = 0;
  #stopHeartbeat: () => void = () => {};
  #looking: NodeJS.Immediate | undefined;
  #onIdle: (() => void) | undefined;
  /** Who leads, by the word of a coordinator that does so no more. */
  #leader: string | undefined;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    const { options, log, cache, resultFolder, machine, natsUser } = parts;
    this.#id = options.id;
    const { outboxResults: maxResults, outboxBytes: maxBytes, resendMs } = options;
    this.#outbox = new Outbox({ maxResults, maxBytes, resendMs });
    this.#delivery = new Delivery(this.#outbox, cache, machine.clock, (message) => log.warn(message));
    this.metrics = new WorkerMetrics({
      state: () => this.#state.kind,
      leases: () => this.#workbench.held,
      outbox: () => ({ results: this.#outbox.results, bytes: this.#outbox.bytes }),
      cache: () => cache.counts(),
      childRssBytes: () => this.#workbench.childRssBytes(),
      provider: () => this.#device?.deviceClass.provider,
    });
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#broker = new Broker({
      open: machine.openPublisher,
      tls: parts.natsTls,
      seed: natsUser.seed,
      log: (message) => log.info(message),
      onReconnect: () => this.metrics.natsReconnected(),
      onRefused: (reason) => this.metrics.natsRefused(reason),
    });
    this.#workbench = new Workbench({
      ...parts,
      workerId: () => this.#id,
      outbox: this.#outbox,
      delivery: this.#delivery,
      metrics: this.metrics,
      childOptions: {
        artifactFolder: join(options.cacheFolder, "artifacts"),
        resultFolder,
        maxInlineBytes: MAX_INLINE_RESULT_BYTES,
        device: options.device,
        form: options.form,
        threads: options.threads,
        engineOptions: options.engineOptions,
      },
      events: {
        ready: (device) => this.#onReady(device),
        changed: () => this.#onChanged(),
        childDied: (leaseId, reason) =>
          this.#stream?.send({ message: "childDied", childDied: { leaseId, reason } }),
        gaveUp: (reason) => void this.#end({ kind: "failed", reason: `inference child: ${reason}` }),
      },
    });
  }

  get state(): WorkerState {
    return this.#state;
  }

  /** Results that no coordinator has accepted yet. */
  get unaccepted(): number {
    return this.#outbox.results;
  }

  get childPid(): number | undefined {
    return this.#workbench.childPid;
  }

  /** Finishes or gives back what the worker holds, says Goodbye and stops, within `drainMs`. */
  drain(reason: string): void {
    if (isFinal(this.#state)) return;
    if (this.#state.kind === "serving") void this.#drain(reason, "stop");
    else if (this.#state.kind === "draining") this.#state = { ...this.#state, reason, next: "stop" };
    else void this.#end({ kind: "stopped", reason });
  }

  #onReady(device: ReadyDevice): void {
    if (this.#device === undefined) {
      const { deviceClass, forms } = device;
      const { provider, runtimeVersion, hardware } = deviceClass;
      const { threads, id, device: asked } = this.#parts.options;
      this.#parts.log.info(
        { id, provider, onnxruntime: runtimeVersion, hardware, forms, threads },
        "the inference child is ready",
      );
      this.#parts.log.info(childLimits(asked).said);
      if (device.elsewhere.length > 0)
        this.#parts.log.info(`${provider} leaves to another provider: ${device.elsewhere.join(", ")}`);
    }
    this.#device = device;
    if (this.#state.kind === "starting") void this.#connect();
  }

  async #connect(): Promise<void> {
    const addresses = this.#parts.options.coordinators;
    this.#become({ kind: "connecting", addresses });
    const leader = this.#leader;
    this.#leader = undefined;
    try {
      await dialForever({
        addresses,
        leader,
        hello: () => this.#hello(),
        signal: this.#over.signal,
        dialling: this.#parts.machine,
        waiting: (reason) =>
          this.#parts.log.warn(`waiting for a coordinator at ${addresses.join(", ")} (${reason})`),
        events: {
          open: (stream) => void this.#onOpen(stream),
          message: (message) => this.#onMessage(message),
          end: (reason) => this.#onStreamEnd(reason),
        },
      });
    } catch (error) {
      if (this.#over.signal.aborted) return;
      const kind = error instanceof RefusedError ? "refused" : "failed";
      await this.#end({ kind, reason: (error as Error).message });
    }
  }

  async #hello(): Promise<Hello> {
    const { options, cache, natsUser } = this.#parts;
    return {
      workerId: options.id,
      natsUserKey: natsUser.publicKey,
      programVersion: programVersion(),
      deviceClass: this.#device?.deviceClass ?? null,
      memoryBytes: options.memoryBytes,
      cachedCheckpoints: await cache.cachedCheckpoints(),
      threads: options.threads,
      operatorsElsewhere: this.#device?.elsewhere ?? [],
      programForms: this.#device?.forms ?? [],
      incarnation: this.#incarnation,
    };
  }

  async #onOpen(stream: CoordinatorStream): Promise<void> {
    this.#stream = stream;
    this.#parts.artifacts.client = stream.client;
    this.#outstandingCredit = 0;
    this.#become({ kind: "serving", address: stream.address });
    await this.#followWelcome(stream);
    if (this.#stream !== stream) return;
    const { heartbeatMs } = stream.welcome;
    const { clock } = this.#parts.machine;
    this.#stopHeartbeat = clock.every(heartbeatMs || DEFAULT_HEARTBEAT_MS, () => this.#beat());
    this.#delivery.attach(stream, () => this.#broker.publisher);
    this.#beat();
    this.#grantCredit();
  }

  async #followWelcome({ welcome }: CoordinatorStream): Promise<void> {
    const { cache, log } = this.#parts;
    const { artifactFolder, artifactNonce, workerId } = welcome;
    if (workerId !== this.#id) {
      log.info(`the coordinator calls this worker ${workerId}`);
      this.#id = workerId;
      this.#outbox.rename(workerId);
    }
    this.#broker.follow(welcome);
    if (await cache.useSharedFolder(artifactFolder, artifactNonce)) {
      log.info(`artifacts are taken from the coordinator's folder ${artifactFolder}, on the same volume`);
    }
  }

  #onMessage(message: CoordinatorMessage): void {
    switch (message.message) {
      case "leases": {
        const { leases } = message.leases;
        this.#outstandingCredit = Math.max(0, this.#outstandingCredit - leases.length);
        if (this.#state.kind === "serving") for (const lease of leases) this.#workbench.take(lease);
        else this.#giveBack(leases.map(({ leaseId }) => leaseId));
        break;
      }
      case "accepted":
        for (const fingerprint of message.accepted.fingerprints) void this.#delivery.accepted(fingerprint);
        break;
      case "cancel":
        this.#workbench.cancel(message.cancel);
        break;
      case "natsCredential":
        this.#broker.renew(message.natsCredential.jwt);
        break;
      case "drain":
        if (this.#state.kind === "serving") void this.#drain(message.drain.reason, "dial");
        break;
      case "notLeader":
        // The stream ends after this.
        this.#leader = new NotLeaderError(message.notLeader.address).leader;
        break;
      case "refused":
        void this.#end({ kind: "refused", reason: message.refused.reason });
        break;
      case "welcome":
        break;
    }
    this.#onChanged();
  }

  #onStreamEnd(reason: string): void {
    this.#stream = undefined;
    this.#parts.artifacts.client = undefined;
    this.#stopHeartbeat();
    this.#delivery.detach();
    if (this.#over.signal.aborted) return;
    this.#workbench.forgetLeases();
    this.#onIdle?.();
    if (this.#state.kind === "draining") void this.#afterDrain(this.#state);
    else {
      this.#parts.log.warn(`the coordinator is lost (${reason}), dialling again`);
      void this.#connect();
    }
  }

  #beat(): void {
    this.#delivery.resendOverdue();
    this.#workbench.endHungChild();
    this.#stream?.send({ message: "heartbeat", heartbeat: this.#workbench.heartbeat() });
  }

  /** Looks once per turn of the event loop what follows from all that happened in it. */
  #onChanged(): void {
    this.#looking ??= setImmediate(() => {
      this.#looking = undefined;
      this.#grantCredit();
      if (this.#workbench.held === 0 && this.#outbox.results === 0) this.#onIdle?.();
    });
  }

  #grantCredit(): void {
    const leases = creditToGrant({
      window: this.#parts.options.leases,
      outstanding: this.#outstandingCredit,
      held: this.#workbench.held,
      paused: this.#outbox.isFull || this.#state.kind !== "serving",
    });
    if (leases === 0 || !this.#stream) return;
    this.#outstandingCredit += leases;
    this.#stream.send({ message: "credit", credit: { leases } });
  }

  #giveBack(returnedLeaseIds: readonly number[]): void {
    this.#stream?.send({ message: "draining", draining: { returnedLeaseIds } });
  }

  async #drain(reason: string, next: "stop" | "dial"): Promise<void> {
    this.#become({ kind: "draining", reason, next });
    const stream = this.#stream;
    this.#giveBack(this.#workbench.giveBackUnstarted());
    this.#delivery.hurry();
    await this.#idleWithin(this.#parts.options.drainMs - GOODBYE_MS);
    if (this.#stream !== stream) return;
    if (this.#workbench.held > 0) this.#giveBack(this.#workbench.giveBackAll());
    // The stream's end does the rest.
    await stream?.goodbye(reason, GOODBYE_MS);
  }

  /** A coordinator that closes is given time to be gone, or to come back. */
  async #afterDrain({ reason, next }: Extract<WorkerState, { kind: "draining" }>): Promise<void> {
    if (next === "stop") return this.#end({ kind: "stopped", reason });
    this.#parts.log.info("dialling again");
    this.#become({ kind: "connecting", addresses: this.#parts.options.coordinators });
    await sleep(this.#parts.machine.clock, REDIAL_MS, this.#over.signal).catch(() => {});
    await this.#connect();
  }

  /** Waits until nothing runs and every result was accepted, or the stream is over. */
  async #idleWithin(ms: number): Promise<void> {
    let stopWaiting: (() => void) | undefined;
    await new Promise<void>((resolve) => {
      stopWaiting = this.#parts.machine.clock.after(Math.max(0, ms), resolve);
      this.#onIdle = resolve;
      this.#onChanged();
    });
    stopWaiting?.();
    this.#onIdle = undefined;
  }

  #become(state: WorkerState): void {
    if (this.#state.kind === state.kind || !mayBecome(this.#state.kind, state.kind)) return;
    this.#state = state;
    const { log } = this.#parts;
    if (state.kind === "serving") log.info(`serving the coordinator at ${state.address}`);
    if (state.kind === "draining") log.info(`draining: ${state.reason}`);
  }

  /** One order: no more work, Goodbye, child, broker, files. */
  async #end(state: FinalState): Promise<void> {
    if (isFinal(this.#state)) return;
    this.#become(state);
    this.#over.abort(new Error(state.reason));
    this.#stopHeartbeat();
    clearImmediate(this.#looking);
    if (state.kind === "failed") this.#giveBack(this.#workbench.giveBackAll());
    await this.#stream?.goodbye(state.reason, GOODBYE_MS);
    this.#parts.cache.close();
    await Promise.all([this.#workbench.close(), this.#broker.close()]);
    await this.#parts.removeResults();
    this.#finish(state);
  }
}
