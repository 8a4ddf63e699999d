import { setMaxListeners } from "node:events";
import type { Hello } from "../../proto/messages.ts";
import { fingerprintOf } from "../../proto/operation-codec.ts";
import type { Digest, Operation, OperationResult, ProgramForm } from "../../proto/operations.ts";
import { advance } from "./advance.ts";
import { CheckDesk, type CheckDeskOptions } from "./check-desk.ts";
import { type DecisionEvents, DecisionRunner, type ResultOf } from "./decision-runner.ts";
import { DispatchTimers, type TimerOptions } from "./dispatch-timers.ts";
import { CoordinatorClosedError, DistrustedResultsError } from "./errors.ts";
import type { CheckOutcome, Decision, DispatchEvent, EventOf } from "./events.ts";
import { deviceClassName, refusalOf } from "./hello.ts";
import { OperationWaiters, type Waiter, type WaitingCall } from "./operation-waiters.ts";
import type { Origins } from "./origins.ts";
import { Reissues } from "./reissues.ts";
import { type ScopeView, scopeView } from "./scope-view.ts";
import { type SessionPort, SessionPorts } from "./session-ports.ts";
import type { DispatchSettings } from "./settings.ts";
import {
  type DispatchState,
  newDispatchState,
  type OperationKey,
  operationKey,
  type ScopeTerms,
  type Session,
} from "./state.ts";

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

export interface RunOptions {
  /** Of the scope; those of its first call count. */
  readonly terms?: ScopeTerms;
  /** Bytes that an inference child needs for an operation; absent, or 0: not known. */
  readonly memoryBytesOf?: (operation: Operation) => number;
}

export interface DispatcherOptions extends DecisionEvents, CheckDeskOptions, TimerOptions {
  readonly settings: DispatchSettings;
  /** Right results of an operation that is asked for now and came before; absent: there are none. */
  readonly recall?: (fingerprint: Digest, operation: Operation) => readonly RecalledResult[];
  /** Workers that gave wrong results before, with the reason: they are refused. */
  readonly expelled?: ReadonlyMap<string, string>;
  /** Refuses workers with another one; absent: that of the workers that are there. */
  readonly programVersion?: string;
}

/** What workers and those who wait for operations deal with: it makes events of what they do, and lets `advance` decide. */
export class Dispatcher {
  readonly state: DispatchState;
  readonly #options: DispatcherOptions;
  readonly #ports = new SessionPorts();
  readonly #waiters = new OperationWaiters();
  readonly #checks: CheckDesk;
  readonly #reissues = new Reissues();
  readonly #timers: DispatchTimers;
  readonly #runner: DecisionRunner;
  /** Who waits until nothing that a scope was given is being checked. */
  readonly #settling = new Map<string, Set<() => void>>();
  readonly #events: { readonly event: DispatchEvent; readonly resultOf: ResultOf }[] = [];
  #isBusy = false;
  #isClosed = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.state = newDispatchState(options.settings);
    for (const [workerId, reason] of options.expelled ?? []) this.state.expelled.set(workerId, reason);
    this.#checks = new CheckDesk(options);
    this.#timers = new DispatchTimers(options.settings.leaseMs, options, {
      tick: () => void this.handle({ kind: "tick" }),
      look: () => void this.handle({ kind: "looked-again" }),
    });
    this.#runner = new DecisionRunner({
      ...options,
      state: this.state,
      ports: this.#ports,
      waiters: this.#waiters,
      checks: this.#checks,
      reissues: this.#reissues,
      timers: this.#timers,
      computed: (key) => this.#computed(key),
    });
  }

  get settings(): DispatchSettings {
    return this.#options.settings;
  }

  /** By the dispatcher's clock. */
  get nowMs(): number {
    return this.#timers.now();
  }

  /** Workers that come now are to go elsewhere. */
  get isClosing(): boolean {
    return this.#isClosed || this.state.draining;
  }

  /** Why a worker is refused, or undefined. */
  refusal(hello: Hello): string | undefined {
    const expelled = this.state.expelled.get(hello.workerId);
    if (expelled !== undefined) return `worker_id ${hello.workerId}: it was expelled, since ${expelled}`;
    return refusalOf(hello, this.#options.programVersion ?? this.#ports.programVersion);
  }

  /** A worker that was not refused; leases go out through `port` from now on. */
  join(hello: Hello, port: SessionPort): Session {
    const { workerId, incarnation, cachedCheckpoints, programVersion, operatorsElsewhere, memoryBytes } =
      hello;
    const deviceClass = deviceClassName(hello.deviceClass!, programVersion);
    const session = this.#ports.add(port, programVersion);
    const forms = hello.programForms.length > 0 ? hello.programForms : ["primitive"];
    const elsewhere = operatorsElsewhere.length > 0 ? { operatorsElsewhere } : {};
    this.#options.logger.info(
      { worker: workerId, deviceClass, forms, memoryBytes, ...elsewhere },
      "worker joined",
    );
    const worker = { workerId, incarnation, deviceClass, forms, memoryBytes, cachedCheckpoints };
    this.handle({ kind: "joined", session, ...worker });
    return session;
  }

  /** The stream of a session is over. `isOrderly`: with a Goodbye, or because this side asked for it. */
  leave(session: Session, reason: string, isOrderly = false): void {
    const worker = this.state.workers.get(session);
    this.#ports.remove(session);
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
    const call = this.#waiters.join(scope, wanted);
    const fresh = new Set(call.fresh);
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
      const results = wanted.map(({ key }) => call.waiters.get(key)!.promise);
      return await untilAborted(Promise.all(results), signal);
    } finally {
      this.#leave(call);
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

  /** What the check of a result that a scope was given came to, once it is over. */
  whenChecked(scope: string, fingerprint: Digest): Promise<CheckOutcome> {
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
        const decisions = advance(this.state, next.event, this.#timers.now());
        for (const decision of decisions) this.#runner.carryOut(decision, next.resultOf);
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
      this.#waiters.take(key).reject(new CoordinatorClosedError());
    }
    this.handle({ kind: "scope-closed", scope });
    this.#reissues.forget(scope);
  }

  /** How the operations of a scope stand, for people. */
  viewOf(scope: string): ScopeView {
    return scopeView(this.state, scope, { nowMs: this.#timers.now(), reissues: this.#reissues.of(scope) });
  }

  /** Everyone who waits gets an error, and workers are asked to leave: at once where there is a successor, as they need not finish what they do. */
  close(successor?: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timers.stop();
    this.handle({ kind: "drain" });
    const keys = this.#waiters.keys();
    this.#waiters.rejectAll(() => new CoordinatorClosedError());
    this.handle({ kind: "withdrawn", keys, reason: "the coordinator closes" });
    for (const [session, port] of this.#ports.all()) {
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

  #leave(call: WaitingCall): void {
    const unwanted = this.#waiters.leave(call);
    for (const [, { operation }] of unwanted)
      this.#options.observer.operationEnded(operation.kind, "withdrawn");
    const keys = unwanted.map(([key]) => key);
    if (keys.length > 0) this.handle({ kind: "withdrawn", keys, reason: "nobody waits for it" });
  }
}

/** What is worth more than the checkpoint in the choice of a worker. */
const stateOf = (operation: Operation): { readonly state?: Digest } =>
  operation.kind === "train-run" ? { state: operation.state.weights } : {};

const formOf = (operation: Operation): { readonly form?: ProgramForm } =>
  "form" in operation && operation.form !== undefined ? { form: operation.form } : {};

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
