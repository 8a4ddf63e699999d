import { setMaxListeners } from "node:events";
import { performance } from "node:perf_hooks";
import type { Logger } from "pino";
import type { CoordinatorMessage, Hello, LeaseMessage, OperationMessage } from "../../proto/messages.ts";
import { fingerprintOf, operationMessageBytes, operationToMessage } from "../../proto/operation-codec.ts";
import type { Digest, Operation, OperationResult, ProgramForm } from "../../proto/operations.ts";
import { advance } from "./advance.ts";
import { CheckDesk } from "./check-desk.ts";
import {
  CoordinatorClosedError,
  DistrustedResultsError,
  OperationGivenUpError,
  OperationTooLargeError,
} from "./errors.ts";
import type { Decision, DecisionOf, DispatchEvent, EventOf, Slowness } from "./events.ts";
import { deviceClassName, refusalOf } from "./hello.ts";
import type { DispatchObserver } from "./observer.ts";
import type { Origins } from "./origins.ts";
import { Reissues } from "./reissues.ts";
import { type ScopeView, scopeView } from "./scope-view.ts";
import type { DispatchSettings } from "./settings.ts";
import {
  type DispatchState,
  newDispatchState,
  type OperationKey,
  operationKey,
  type ScopeTerms,
  type Session,
} from "./state.ts";

/** gRPC's limit for a message is 4 MiB; a lease is little more than its operation. */
const MAX_OPERATION_BYTES = 3 * 1024 ** 2;

/** What a session is sent through; it keeps what its stream does not take at once. */
export interface SessionPort {
  send(message: CoordinatorMessage): void;
  lease(lease: LeaseMessage): void;
  accept(fingerprint: Digest): void;
  end(): void;
}

/** Somebody waits for this operation. */
interface Waiter {
  readonly scope: string;
  readonly operation: Operation;
  readonly message: OperationMessage;
  readonly promise: Promise<OperationResult>;
  readonly resolve: (result: OperationResult) => void;
  readonly reject: (error: Error) => void;
  /** Calls of `run` that wait. */
  users: number;
}

/** A result that came before its operation was asked for. */
export interface RecalledResult {
  readonly workerId: string;
  readonly deviceClass: string;
  readonly result: OperationResult;
  /** It answers the operation. */
  use(): void;
}

/** Decisions by which a result is of use. */
const USES: ReadonlySet<Decision["kind"]> = new Set(["resolve", "check-ended", "disagreed"]);

/** What a decision gives to whoever waits. */
type ResultOf = (decision: DecisionOf<"resolve">) => OperationResult;

export interface RunOptions {
  /** Of the scope; those of its first call count. */
  readonly terms?: ScopeTerms;
  /** Bytes that an inference child needs for an operation; absent, or 0: not known. */
  readonly memoryBytesOf?: (operation: Operation) => number;
}

export interface DispatcherOptions {
  readonly settings: DispatchSettings;
  readonly observer: DispatchObserver;
  readonly logger: Logger;
  /** Right results of an operation that is asked for now and came before; absent: there are none. */
  readonly recall?: (fingerprint: Digest, operation: Operation) => readonly RecalledResult[];
  /** A scope is given a result that names this artifact, and needs it until it says otherwise. */
  readonly hold?: (artifact: Digest, scope: string) => void;
  /** The scope, or check, needs an artifact no more. */
  readonly release?: (artifact: Digest, scope: string) => void;
  /** Workers that gave wrong results before, with the reason: they are refused. */
  readonly expelled?: ReadonlyMap<string, string>;
  /** A worker gave a wrong result. Called before those who used its results hear of it. */
  readonly onExpelled?: (workerId: string, reason: string) => void;
  /** Refuses workers with another one; absent: that of the workers that are there. */
  readonly programVersion?: string;
  /** Milliseconds that never jump. */
  readonly now?: () => number;
  /** Calls back after some of them. */
  readonly after?: (ms: number, action: () => void) => void;
  /** Calls back again and again. Gives back what ends that. */
  readonly every?: (ms: number, action: () => void) => () => void;
}

const everySystem = (ms: number, action: () => void): (() => void) => {
  const timer = setInterval(action, ms).unref();
  return () => clearInterval(timer);
};

/** Carries out what `advance` decides: messages to workers, results to those who wait. */
export class Dispatcher {
  readonly state: DispatchState;
  readonly #options: DispatcherOptions;
  readonly #now: () => number;
  readonly #ports = new Map<Session, SessionPort>();
  readonly #programs = new Map<Session, string>();
  readonly #waiters = new Map<OperationKey, Waiter>();
  readonly #checks: CheckDesk;
  /** Who waits until nothing that a scope was given is being checked. */
  readonly #settling = new Map<string, Set<() => void>>();
  readonly #events: { readonly event: DispatchEvent; readonly resultOf: ResultOf }[] = [];
  readonly #stopTicking: () => void;
  readonly #reissues = new Reissues();
  #isBusy = false;
  #isClosed = false;
  #looksAtMs = Number.POSITIVE_INFINITY;
  #lastSession = 0;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.state = newDispatchState(options.settings);
    for (const [workerId, reason] of options.expelled ?? []) this.state.expelled.set(workerId, reason);
    this.#checks = new CheckDesk(options);
    this.#stopTicking = this.#startTicking();
  }

  get settings(): DispatchSettings {
    return this.#options.settings;
  }

  /** By the dispatcher's clock. */
  get nowMs(): number {
    return this.#now();
  }

  /** Workers that come now are to go elsewhere. */
  get isClosing(): boolean {
    return this.#isClosed || this.state.draining;
  }

  /** Why a worker is refused, or undefined. */
  refusal(hello: Hello): string | undefined {
    const expelled = this.state.expelled.get(hello.workerId);
    if (expelled !== undefined) return `worker_id ${hello.workerId}: it was expelled, since ${expelled}`;
    return refusalOf(hello, this.#options.programVersion ?? this.#programs.values().next().value);
  }

  /** A worker that was not refused; leases go out through `port` from now on. */
  join(hello: Hello, port: SessionPort): Session {
    const session = ++this.#lastSession;
    const { workerId, cachedCheckpoints, programVersion, operatorsElsewhere, memoryBytes } = hello;
    const deviceClass = deviceClassName(hello.deviceClass!, programVersion);
    this.#ports.set(session, port);
    this.#programs.set(session, programVersion);
    const forms = hello.programForms.length > 0 ? hello.programForms : ["primitive"];
    const elsewhere = operatorsElsewhere.length > 0 ? { operatorsElsewhere } : {};
    this.#options.logger.info(
      { worker: workerId, deviceClass, forms, memoryBytes, ...elsewhere },
      "worker joined",
    );
    this.handle({ kind: "joined", session, workerId, deviceClass, forms, memoryBytes, cachedCheckpoints });
    return session;
  }

  /** The stream of a session is over. `isOrderly`: with a Goodbye, or because this side asked for it. */
  leave(session: Session, reason: string, isOrderly = false): void {
    const worker = this.state.workers.get(session);
    this.#ports.delete(session);
    this.#programs.delete(session);
    if (!worker) return;
    this.#options.logger.info({ worker: worker.workerId, reason, leases: worker.leases.size }, "worker left");
    this.handle({ kind: "left", session, reason, isOrderly });
  }

  /** Results of the operations, in their order. Equal ones of a scope, also of other calls, are computed once. */
  async run(
    scope: string,
    operations: readonly Operation[],
    signal?: AbortSignal,
    { terms = {}, memoryBytesOf = () => 0 }: RunOptions = {},
  ): Promise<OperationResult[]> {
    signal?.throwIfAborted();
    if (this.#isClosed) throw new CoordinatorClosedError();
    this.#throwIfDistrusted(scope);
    const wanted = operations.map((operation) => {
      const fingerprint = fingerprintOf(operation);
      return { operation, fingerprint, key: operationKey(scope, fingerprint) };
    });
    const fresh = new Map<OperationKey, Waiter>();
    for (const { operation, key } of wanted) {
      if (!this.#waiters.has(key) && !fresh.has(key)) fresh.set(key, newWaiter(scope, operation));
    }
    for (const [key, waiter] of fresh) this.#waiters.set(key, waiter);
    const waiters = new Map(wanted.map(({ key }) => [key, this.#waiters.get(key)!]));
    for (const waiter of waiters.values()) waiter.users += 1;
    const recalled = new Map<OperationKey, readonly RecalledResult[]>();
    const submitted = wanted.flatMap(({ key, fingerprint, operation }) => {
      if (!fresh.delete(key)) return [];
      const early = this.#options.recall?.(fingerprint, operation) ?? [];
      recalled.set(key, early);
      const { checkpoint, kind } = operation;
      const memoryBytes = memoryBytesOf(operation);
      return [
        { fingerprint, checkpoint, kind, early, memoryBytes, ...stateOf(operation), ...formOf(operation) },
      ];
    });
    this.#handle({ kind: "submitted", scope, terms, operations: submitted }, ({ key, early }) => {
      const used = recalled.get(key)![early!]!;
      used.use();
      return used.result;
    });
    try {
      const results = wanted.map(({ key }) => waiters.get(key)!.promise);
      return await untilAborted(Promise.all(results), signal);
    } finally {
      this.#release(waiters);
    }
  }

  /** The operation that somebody waits for under this fingerprint. */
  operationOf(fingerprint: string): Operation | undefined {
    const [key] = this.state.keysOf.get(fingerprint) ?? [];
    return key === undefined ? undefined : this.#computed(key)?.operation;
  }

  /** What is known of who computed what a scope was given. */
  originsOf(scope: string): Origins | undefined {
    return this.state.scopes.get(scope)?.origins;
  }

  /** Whether a result that a scope was given turned out right, once that is known. */
  whenChecked(scope: string, fingerprint: Digest): Promise<boolean> {
    return this.#checks.whenOver(`check/${operationKey(scope, fingerprint)}`);
  }

  /**
   * Resolves when nothing that a scope was given is being checked any more.
   *
   * @throws DistrustedResultsError where some of it may be wrong
   */
  async settled(scope: string, signal?: AbortSignal): Promise<void> {
    while ((this.state.scopes.get(scope)?.checks.size ?? 0) > 0) {
      signal?.throwIfAborted();
      const over = new Promise<void>((resolve) => {
        this.#settling.set(scope, (this.#settling.get(scope) ?? new Set()).add(resolve));
      });
      this.handle({ kind: "awaited", scope });
      await untilAborted(over, signal);
    }
    this.#throwIfDistrusted(scope);
  }

  /** Nothing is taken from this worker any more. */
  isExpelled(workerId: string): boolean {
    return this.state.expelled.has(workerId);
  }

  /** Whether an operation was answered not long ago: what arrives for it is a duplicate. */
  wasAnswered(fingerprint: Digest): boolean {
    return this.state.answered.has(fingerprint);
  }

  /** Handles an event; `result` is what a valid result event is about. Answers whether anybody was given it. */
  handle(event: DispatchEvent, result?: OperationResult): boolean {
    const judged = result && event.kind === "result" ? this.#compared(event, result) : event;
    return this.#handle(judged, () => result!);
  }

  /** Says which of the answers to be checked a result agrees with. */
  #compared(event: EventOf<"result">, result: OperationResult): DispatchEvent {
    const answers = new Map<OperationKey, number>();
    for (const key of this.state.checks.size === 0 ? [] : (this.state.keysOf.get(event.fingerprint) ?? [])) {
      const answer = this.#checks.answerOf(key, event.deviceClass, result);
      if (answer !== undefined) answers.set(key, answer);
    }
    return answers.size === 0 ? event : { ...event, answers };
  }

  #handle(event: DispatchEvent, resultOf: ResultOf): boolean {
    this.#events.push({ event, resultOf });
    // A full stream, for one, is an event that comes up while decisions are carried out. No result comes then.
    if (this.#isBusy) return false;
    let isUsed = false;
    this.#isBusy = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        const decisions = advance(this.state, next.event, this.#now());
        for (const decision of decisions) this.#carryOut(decision, next.resultOf);
        isUsed ||= decisions.some(({ kind }) => USES.has(kind));
      }
    } finally {
      this.#isBusy = false;
    }
    this.#wakeSettled();
    return isUsed;
  }

  /** Nobody will wait in this scope any more; who still does gets an error. */
  closeScope(scope: string): void {
    for (const key of this.state.scopes.get(scope)?.operations ?? []) {
      this.#take(key).reject(new CoordinatorClosedError());
    }
    this.handle({ kind: "scope-closed", scope });
    this.#reissues.forget(scope);
  }

  /** How the operations of a scope stand, for people. */
  viewOf(scope: string): ScopeView {
    return scopeView(this.state, scope, { nowMs: this.#now(), reissues: this.#reissues.of(scope) });
  }

  /** Everyone who waits gets an error, and workers are asked to leave: at once where there is a successor, as they need not finish what they do. */
  close(successor?: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopTicking();
    this.handle({ kind: "drain" });
    const keys = [...this.#waiters.keys()];
    for (const waiter of this.#waiters.values()) waiter.reject(new CoordinatorClosedError());
    this.#waiters.clear();
    this.handle({ kind: "withdrawn", keys, reason: "the coordinator closes" });
    for (const [session, port] of this.#ports) {
      if (successor === undefined) {
        port.send({ message: "drain", drain: { reason: "the coordinator closes" } });
        continue;
      }
      port.send({ message: "notLeader", notLeader: { address: successor } });
      port.end();
      this.leave(session, "another coordinator leads", true);
    }
  }

  #throwIfDistrusted(scope: string): void {
    const reason = this.state.scopes.get(scope)?.distrusted;
    if (reason !== undefined) throw new DistrustedResultsError(reason);
  }

  #wakeSettled(): void {
    for (const [scope, waiting] of this.#settling) {
      if ((this.state.scopes.get(scope)?.checks.size ?? 0) > 0) continue;
      this.#settling.delete(scope);
      for (const wake of waiting) wake();
    }
  }

  /** An operation that somebody waits for, or whose result is checked. */
  #computed(key: OperationKey): Pick<Waiter, "operation" | "message"> | undefined {
    return this.#waiters.get(key) ?? this.#checks.of(key);
  }

  #release(waiters: ReadonlyMap<OperationKey, Waiter>): void {
    const unwanted: OperationKey[] = [];
    for (const [key, waiter] of waiters) {
      waiter.users -= 1;
      if (waiter.users > 0 || this.#waiters.get(key) !== waiter) continue;
      this.#waiters.delete(key);
      this.#options.observer.operationEnded(waiter.operation.kind, "withdrawn");
      unwanted.push(key);
    }
    if (unwanted.length > 0)
      this.handle({ kind: "withdrawn", keys: unwanted, reason: "nobody waits for it" });
  }

  #carryOut(decision: Decision, resultOf: ResultOf): void {
    const { observer, logger } = this.#options;
    switch (decision.kind) {
      case "lease": {
        const { session, leaseId, key, fingerprint, leaseMs } = decision;
        const lease = { leaseId, fingerprint, operation: this.#computed(key)!.message, leaseMs };
        this.#ports.get(session)?.lease(lease);
        this.#tellLease(decision);
        const isCheck = this.state.checks.has(key);
        observer.leaseGranted(isCheck ? "check" : decision.second ? "second" : "first");
        if (decision.second) this.#logSecond(decision, decision.second);
        return;
      }
      case "lease-ended":
        observer.leaseEnded(decision.end);
        this.#tellReissue(decision);
        return;
      case "cancel": {
        const { session, leaseId, reason, letRun } = decision;
        this.#ports.get(session)?.send({ message: "cancel", cancel: { leaseId, reason, letRun } });
        return;
      }
      case "accept":
        this.#ports.get(decision.session)?.accept(decision.fingerprint);
        return;
      case "resolve": {
        const waiter = this.#take(decision.key);
        const result = resultOf(decision);
        observer.operationEnded(waiter.operation.kind, "done", result);
        for (const digest of Object.values(result.artifacts ?? {}))
          this.#options.hold?.(digest, waiter.scope);
        if (decision.check !== undefined)
          this.#checks.begin(decision.check, waiter.operation, waiter.message, result);
        waiter.resolve(result);
        return;
      }
      case "check-ended": {
        const { kind } = this.#checks.end(decision.key, decision.outcome);
        observer.checkEnded(decision.outcome);
        logger.debug({ kind, operation: decision.key, outcome: decision.outcome }, "a result was checked");
        return;
      }
      case "disagreed": {
        const { key, workers } = decision;
        const { kind } = this.#checks.of(key)!.operation;
        logger.error(
          { kind, operation: key, workers },
          "workers gave different results: another one decides",
        );
        return;
      }
      case "expel":
        this.#expel(decision);
        return;
      case "distrust":
        logger.error(
          { scope: decision.scope, reason: decision.reason },
          "results that were used may be wrong",
        );
        for (const [key, waiter] of this.#waiters) {
          if (waiter.scope !== decision.scope) continue;
          this.#waiters.delete(key);
          observer.operationEnded(waiter.operation.kind, "withdrawn");
          waiter.reject(new DistrustedResultsError(decision.reason));
        }
        return;
      case "fail": {
        const waiter = this.#take(decision.key);
        const { kind } = waiter.operation;
        logger.error({ kind, reason: decision.reason }, "operation given up");
        observer.operationEnded(kind, "failed");
        waiter.reject(new OperationGivenUpError(kind, fingerprintOf(waiter.operation), decision.reason));
        return;
      }
      case "back-off": {
        const { workerId: worker, failures, delayMs, reason } = decision;
        logger.warn(
          { worker, failures, delayMs, reason },
          "a worker fails again and again: it gets no lease",
        );
        observer.workerBackedOff();
        return;
      }
      case "look-again":
        this.#lookAgain(decision.afterMs);
        return;
      case "disconnect":
        this.#ports.get(decision.session)?.end();
        this.#ports.delete(decision.session);
        this.#programs.delete(decision.session);
        return;
    }
  }

  #expel({ workerId, session, reason }: DecisionOf<"expel">): void {
    const { logger, observer, onExpelled } = this.#options;
    logger.error({ worker: workerId, reason }, "worker expelled");
    observer.workerExpelled();
    const port = session === undefined ? undefined : this.#ports.get(session);
    port?.send({ message: "refused", refused: { reason: `it was expelled, since ${reason}` } });
    port?.end();
    if (session !== undefined) {
      this.#ports.delete(session);
      this.#programs.delete(session);
    }
    onExpelled?.(workerId, reason);
  }

  #logSecond({ key, fingerprint, session }: DecisionOf<"lease">, slow: Slowness): void {
    const { kind } = this.#waiters.get(key)!.operation;
    const [runningMs, usualMs, elsewhereMs] = [slow.runningMs, slow.usualMs, slow.elsewhereMs].map(
      Math.round,
    );
    this.#options.logger.info(
      { kind, fingerprint, slow: slow.workerId, worker: this.state.workers.get(session)?.workerId },
      `a slow operation is computed a second time: it runs for ${runningMs} ms on a worker that usually takes ${usualMs} ms, another takes ${elsewhereMs} ms`,
    );
  }

  #tellLease({ leaseId, key, session, fingerprint }: DecisionOf<"lease">): void {
    const operation = this.state.operations.get(key);
    const worker = this.state.workers.get(session);
    if (!operation || !worker) return;
    const { scope, kind } = operation;
    this.#reissues.granted(leaseId, { scope, workerId: worker.workerId, kind, fingerprint });
  }

  #tellReissue({ leaseId, end }: DecisionOf<"lease-ended">): void {
    const told = this.#reissues.ended(leaseId, end, this.#now());
    if (told === undefined) return;
    const { scope, workerId, kind, fingerprint, why } = told;
    const level = end === "moved" || end === "overtaken" ? "debug" : "info";
    this.#options.logger[level](
      { scope, worker: workerId, kind, operation: fingerprint.slice(0, 12), end },
      `an operation goes to another worker: ${why}`,
    );
  }

  /** One look for all that was asked for until then. */
  #lookAgain(afterMs: number): void {
    const atMs = this.#now() + afterMs;
    if (this.#looksAtMs <= atMs) return;
    this.#looksAtMs = atMs;
    const after = this.#options.after ?? ((ms, action) => setTimeout(action, ms).unref());
    after(Math.ceil(afterMs), () => {
      if (this.#looksAtMs === atMs) this.#looksAtMs = Number.POSITIVE_INFINITY;
      if (!this.#isClosed) this.handle({ kind: "looked-again" });
    });
  }

  #take(key: OperationKey): Waiter {
    const waiter = this.#waiters.get(key)!;
    this.#waiters.delete(key);
    return waiter;
  }

  #startTicking(): () => void {
    const everyMs = Math.min(1_000, this.#options.settings.leaseMs / 4);
    let lastMs = this.#now();
    return (this.#options.every ?? everySystem)(everyMs, () => {
      const nowMs = this.#now();
      // After a pause of this process, heartbeats that came meanwhile are read before leases are judged.
      const isLate = nowMs - lastMs > 2 * everyMs;
      lastMs = nowMs;
      if (!isLate) this.handle({ kind: "tick" });
    });
  }
}

/** What is worth more than the checkpoint in the choice of a worker. */
const stateOf = (operation: Operation): { readonly state?: Digest } =>
  operation.kind === "train-run" ? { state: operation.state.weights } : {};

const formOf = (operation: Operation): { readonly form?: ProgramForm } =>
  "form" in operation && operation.form !== undefined ? { form: operation.form } : {};

/** @throws OperationTooLargeError */
function newWaiter(scope: string, operation: Operation): Waiter {
  const message = operationToMessage(operation);
  const bytes = operationMessageBytes(message);
  if (bytes > MAX_OPERATION_BYTES)
    throw new OperationTooLargeError(operation.kind, bytes, MAX_OPERATION_BYTES);
  let resolve!: Waiter["resolve"];
  let reject!: Waiter["reject"];
  const promise = new Promise<OperationResult>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { scope, operation, message, promise, resolve, reject, users: 0 };
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    // Many calls of one command wait at a time; Node takes more than ten listeners for a leak and says so.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
