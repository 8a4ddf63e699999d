import type { CancelMessage, DeviceClass, Heartbeat, LeaseMessage } from "../../proto/messages.ts";
import { operationFromMessage } from "../../proto/operation-codec.ts";
import type { Digest, Operation } from "../../proto/operations.ts";
import { encodeResultEnvelope, type ResultOutcome } from "../../proto/result-envelope.ts";
import type { ArtifactCache, Hold } from "../cache/artifact-cache.ts";
import { ManifestError } from "../cache/errors.ts";
import type { Answer, ChildOptions, NamedFile, ReadyDevice, Run } from "../child/messages.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logging.ts";
import type { ChildEnd, WorkerMetrics } from "../metrics/worker-metrics.ts";
import type { CompiledWorkerOptions } from "../options.ts";
import type { Outbox, OutboxFile } from "../outbox/outbox.ts";
import { clearResultFolder, removeResult } from "../outbox/result-folder.ts";
import { programVersion } from "../program-version.ts";
import { ChildKeeper, type StartChild } from "./child-keeper.ts";
import type { Delivery } from "./delivery.ts";
import { type Assignment, LeaseBook, type Withdrawal } from "./lease-book.ts";
import { needsOf, replacedBy } from "./needs.ts";

/** Operations that the child has at once: one runs, the next ones are there when it ends. */
const CHILD_AHEAD = 3;

export interface WorkbenchEvents {
  /** A child is ready, for the first time or again. */
  ready(device: ReadyDevice): void;
  /** Something ended: there may be room for more, or nothing left to do. */
  changed(): void;
  /** The child died unasked during the operation of this lease. */
  childDied(leaseId: number, reason: string): void;
  /** No child can be had. */
  gaveUp(reason: string): void;
}

export interface WorkbenchParts {
  readonly options: CompiledWorkerOptions;
  /** What the coordinator calls this worker. */
  readonly workerId: () => string;
  readonly childOptions: ChildOptions;
  readonly log: Logger;
  readonly cache: Pick<ArtifactCache, "hold">;
  readonly outbox: Outbox;
  readonly delivery: Delivery;
  readonly metrics: Pick<WorkerMetrics, "operationEnded" | "childReplaced">;
  readonly machine: { readonly clock: Clock; readonly startChild: StartChild };
  readonly events: WorkbenchEvents;
}

/** Where operations lie between their lease and their result: artifacts are fetched for them, the child runs them. */
export class Workbench {
  readonly #parts: WorkbenchParts;
  readonly #book = new LeaseBook();
  readonly #holds = new Map<number, Hold>();
  readonly #keeper: ChildKeeper;
  #deviceClass: DeviceClass | undefined;
  #checkpointsOfChild = new Set<Digest>();
  /** By the clock, when the operation that runs began, or its last part ended. */
  #runningSince = 0;
  #partsDone = 0;
  #feeding: NodeJS.Immediate | undefined;
  /** Why the child is being killed, while it is. */
  #killing: ChildEnd | undefined;

  constructor(parts: WorkbenchParts) {
    this.#parts = parts;
    const events = {
      ready: (device: ReadyDevice) => this.#onChildReady(device),
      finished: (answers: readonly Answer[]) => this.#onFinished(answers),
      partDone: () => {
        this.#partsDone++;
        this.#runningSince = this.#now();
      },
      gone: (end: { readonly asked: boolean; readonly reason: string }) => this.#onChildGone(end),
      gaveUp: parts.events.gaveUp,
      line: (text: string) => parts.log.warn({ child: this.#keeper.pid }, text),
    };
    this.#keeper = new ChildKeeper(parts.options.childEntry, parts.childOptions, events, parts.machine);
  }

  /** Operations that are not finished. */
  get held(): number {
    return this.#book.size;
  }

  get childPid(): number | undefined {
    return this.#keeper.pid;
  }

  childRssBytes(): number {
    return this.#keeper.rssBytes();
  }

  heartbeat(): Heartbeat {
    return {
      leaseIds: [...new Set([...this.#book.leaseIds(), ...this.#parts.outbox.leaseIds()])],
      runningLeaseId: this.#book.running()?.leaseId ?? 0,
      childRssBytes: this.#keeper.rssBytes(),
      partsDone: this.#partsDone,
    };
  }

  /** Takes a lease: its result may be there already, or its operation run on from a lost stream. */
  take({ leaseId, fingerprint, operation: message }: LeaseMessage): void {
    const { cache, delivery, outbox } = this.#parts;
    const known = outbox.find(fingerprint, leaseId);
    if (known) delivery.send(known, "stream");
    if (known || this.#book.adopt(leaseId, fingerprint)) return;
    let operation: Operation;
    try {
      operation = operationFromMessage(message);
    } catch (error) {
      this.#deliver({ leaseId, fingerprint }, errorOutcome(error as Error, false));
      return;
    }
    const { ticket } = this.#book.add(leaseId, fingerprint, operation);
    const hold = cache.hold(needsOf(operation));
    this.#holds.set(ticket, hold);
    if (hold.ready === undefined) this.#onArtifactsReady(ticket);
    else {
      hold.ready.then(
        () => this.#onArtifactsReady(ticket),
        (error: Error) => this.#onArtifactsFailed(ticket, error),
      );
    }
  }

  /** The coordinator does not want it any more. With `letRun`, what has begun goes on. */
  cancel({ leaseId, reason, letRun }: CancelMessage): void {
    if (letRun && this.#book.running()?.leaseId === leaseId) return;
    const withdrawal = this.#book.withdraw(leaseId);
    if (withdrawal.kind === "unknown") return;
    const { kind } = withdrawal.assignment.operation;
    this.#parts.log.debug(`a ${kind} operation is cancelled: ${reason}`);
    this.#parts.metrics.operationEnded(kind, "cancelled");
    this.#actOn(withdrawal);
  }

  /** The stream ended: what has not begun is dropped, since its lease goes to another worker at once. */
  forgetLeases(): void {
    this.#parts.outbox.forgetLeases();
    for (const withdrawal of this.#book.forgetLeases()) this.#actOn(withdrawal);
  }

  /** Drops what has not begun and returns its leases. */
  giveBackUnstarted(): number[] {
    const running = this.#book.running()?.leaseId;
    const leaseIds = this.#book.leaseIds().filter((leaseId) => leaseId !== running);
    for (const leaseId of leaseIds) this.#actOn(this.#book.withdraw(leaseId));
    return leaseIds;
  }

  /** Drops what is left, also what runs, and returns its leases. */
  giveBackAll(): number[] {
    const leaseIds = this.#book.leaseIds();
    for (const leaseId of leaseIds) this.#actOn(this.#book.withdraw(leaseId));
    return leaseIds;
  }

  /** Ends a child that is silent for too long; the operation counts as one that a child died of. */
  endHungChild(): void {
    const silentMs = this.#book.running() ? this.#now() - this.#runningSince : 0;
    if (silentMs <= this.#parts.options.operationTimeoutMs || this.#killing !== undefined) return;
    this.#parts.log.error(`the child is silent for ${Math.round(silentMs / 1000)} s during one operation`);
    this.#replaceChild("hung");
  }

  /** Ends the child for good. */
  async close(): Promise<void> {
    clearImmediate(this.#feeding);
    await this.#keeper.stop();
    for (const hold of this.#holds.values()) hold.release();
    this.#holds.clear();
  }

  #now(): number {
    return this.#parts.machine.clock.now();
  }

  #onArtifactsReady(ticket: number): void {
    const assignment = this.#book.get(ticket);
    if (assignment?.state !== "fetching") return;
    assignment.state = "ready";
    this.#feedChild();
  }

  #onArtifactsFailed(ticket: number, error: Error): void {
    const assignment = this.#book.remove(ticket);
    if (!assignment) return;
    this.#release(assignment);
    this.#parts.log.error(`no artifacts for a ${assignment.operation.kind} operation: ${error.message}`);
    this.#deliver(assignment, errorOutcome(error, !(error instanceof ManifestError)));
    this.#parts.events.changed();
  }

  /** Gives the child what it may have, in one message for all that became ready in this turn of the event loop. */
  #feedChild(): void {
    this.#feeding ??= setImmediate(() => {
      this.#feeding = undefined;
      const runs: Run[] = [];
      for (let next = this.#nextRun(); next; next = this.#nextRun()) {
        if (!this.#book.running()) this.#runningSince = this.#now();
        this.#book.send(next);
        runs.push({ ticket: next.ticket, operation: next.operation });
      }
      if (runs.length > 0) this.#keeper.send({ kind: "run", runs });
    });
  }

  #nextRun(): Assignment | undefined {
    const sent = this.#book.sent().length;
    const next = this.#keeper.isReady && sent < CHILD_AHEAD ? this.#book.nextReady() : undefined;
    if (!next) return undefined;
    const { checkpoint } = next.operation;
    const isNew = !this.#checkpointsOfChild.has(checkpoint);
    if (isNew && this.#checkpointsOfChild.size >= this.#parts.options.recycleCheckpoints) {
      if (sent === 0) this.#replaceChild("recycled");
      return undefined;
    }
    this.#checkpointsOfChild.add(checkpoint);
    return next;
  }

  #onFinished(answers: readonly Answer[]): void {
    for (const answer of answers) this.#onAnswer(answer);
    // The one behind them runs from now on.
    this.#runningSince = this.#now();
    this.#feedChild();
    this.#parts.events.changed();
  }

  #onAnswer({ ticket, outcome, artifacts, ...done }: Answer): void {
    const assignment = this.#book.remove(ticket);
    const files = [
      ...(outcome.kind === "file" ? [{ ...outcome.file, isArtifact: false }] : []),
      ...artifacts.map((file) => ({ ...file, isArtifact: true })),
    ];
    if (!assignment) {
      // Withdrawn while it ran.
      for (const { path } of files) void removeResult(path);
      return;
    }
    this.#release(assignment);
    const delivered: ResultOutcome =
      outcome.kind === "file" ? { kind: "artifact", digest: outcome.file.digest } : outcome;
    this.#deliver(assignment, delivered, { ...done, artifacts, files });
  }

  #onChildReady(device: ReadyDevice): void {
    this.#deviceClass = device.deviceClass;
    this.#checkpointsOfChild = new Set();
    this.#parts.events.ready(device);
    this.#feedChild();
  }

  #onChildGone({ asked, reason }: { readonly asked: boolean; readonly reason: string }): void {
    const { log, metrics, events } = this.#parts;
    const cause = this.#killing ?? "died";
    this.#killing = undefined;
    metrics.childReplaced(cause);
    const running = asked && cause !== "hung" ? undefined : this.#book.running();
    if (running) {
      const told = cause === "hung" ? "it was silent for too long" : reason;
      log.error(`the inference child died during a ${running.operation.kind} operation: ${told}`);
      this.#book.remove(running.ticket);
      this.#release(running);
      metrics.operationEnded(running.operation.kind, "died");
      if (running.leaseId !== undefined) events.childDied(running.leaseId, told);
    } else if (!asked) {
      log.error(`the inference child ended: ${reason}`);
    }
    this.#book.takeBackSent();
    const waiting = this.#parts.outbox.all().flatMap(({ files }) => files.map(({ path }) => path));
    clearResultFolder(this.#parts.childOptions.resultFolder, waiting);
    events.changed();
  }

  #replaceChild(cause: ChildEnd): void {
    this.#killing ??= cause;
    void this.#keeper.replace();
  }

  #actOn(withdrawal: Withdrawal): void {
    if (withdrawal.kind === "unknown") return;
    const { assignment } = withdrawal;
    this.#release(assignment);
    if (withdrawal.kind === "skip") this.#keeper.send({ kind: "skip", ticket: assignment.ticket });
    if (withdrawal.kind === "kill") this.#replaceChild("cancelled");
  }

  #release({ ticket }: Assignment): void {
    this.#holds.get(ticket)?.release();
    this.#holds.delete(ticket);
  }

  /** Puts what became of an operation into the outbox, and sends it. */
  #deliver(
    { leaseId, fingerprint, operation }: Ended,
    outcome: ResultOutcome,
    { artifacts, files, forwards, tokens, seconds }: Done = NOTHING_DONE,
  ): void {
    const { delivery, metrics, outbox, workerId } = this.#parts;
    const retryable = outcome.kind === "error" && outcome.retryable;
    const ended = outcome.kind !== "error" ? "done" : retryable ? "retryable" : "failed";
    if (operation) metrics.operationEnded(operation.kind, ended, { forwards, tokens, seconds });
    const envelope = encodeResultEnvelope({
      fingerprint,
      workerId: workerId(),
      // Leases come after the first child was ready.
      deviceClass: this.#deviceClass!,
      programVersion: programVersion(),
      outcome,
      artifacts: Object.fromEntries(artifacts.map(({ name, digest }) => [name, digest])),
      forwards,
      tokens,
      seconds,
    });
    const replaces = operation ? replacedBy(operation, files) : [];
    const result = { fingerprint, envelope, reusable: !retryable, files, replaces };
    void delivery.drop(outbox.put(result, leaseId, this.#now()));
    delivery.send(result, "usual");
  }
}

/** An operation, or a lease whose operation could not be read. */
type Ended = Pick<Assignment, "leaseId" | "fingerprint"> & Partial<Pick<Assignment, "operation">>;

interface Done {
  readonly forwards: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly artifacts: readonly NamedFile[];
  /** All that must reach the coordinator before the envelope. */
  readonly files: readonly OutboxFile[];
}

const NOTHING_DONE: Done = { forwards: 0, tokens: 0, seconds: 0, artifacts: [], files: [] };

const errorOutcome = ({ message }: Error, retryable: boolean): ResultOutcome => ({
  kind: "error",
  retryable,
  message,
});
