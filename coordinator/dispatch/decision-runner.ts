import type { Logger } from "pino";
import { fingerprintOf } from "../../proto/operation-codec.ts";
import type { Digest, OperationResult } from "../../proto/operations.ts";
import type { CheckDesk } from "./check-desk.ts";
import type { DispatchTimers } from "./dispatch-timers.ts";
import { DistrustedResultsError, OperationGivenUpError } from "./errors.ts";
import type { Decision, DecisionOf, Slowness } from "./events.ts";
import type { DispatchObserver } from "./observer.ts";
import type { OperationWaiters, Waiter } from "./operation-waiters.ts";
import type { Reissues } from "./reissues.ts";
import type { SessionPorts } from "./session-ports.ts";
import type { DispatchState, OperationKey } from "./state.ts";

/** What a decision gives to whoever waits. */
export type ResultOf = (decision: DecisionOf<"resolve">) => OperationResult;

export interface DecisionEvents {
  readonly observer: DispatchObserver;
  readonly logger: Logger;
  /** A scope is given a result that names this artifact, and needs it until it says otherwise. */
  readonly hold?: (artifact: Digest, scope: string) => void;
  /** A worker gave a wrong result. Called before those who used its results hear of it. */
  readonly onExpelled?: (workerId: string, reason: string) => void;
}

export interface DecisionParts extends DecisionEvents {
  readonly state: DispatchState;
  readonly ports: SessionPorts;
  readonly waiters: OperationWaiters;
  readonly checks: CheckDesk;
  readonly reissues: Reissues;
  readonly timers: DispatchTimers;
  /** An operation that somebody waits for, or whose result is checked. */
  readonly computed: (key: OperationKey) => Pick<Waiter, "message"> | undefined;
}

/** Makes decisions come true: messages to workers, results to those who wait, and what people are told of both. */
export class DecisionRunner {
  readonly #parts: DecisionParts;

  constructor(parts: DecisionParts) {
    this.#parts = parts;
  }

  /** @param resultOf what the event was about that it follows from */
  carryOut(decision: Decision, resultOf: ResultOf): void {
    const { observer, logger } = this.#parts;
    switch (decision.kind) {
      case "lease": {
        const { session, leaseId, key, fingerprint, leaseMs } = decision;
        const lease = { leaseId, fingerprint, operation: this.#parts.computed(key)!.message, leaseMs };
        this.#parts.ports.get(session)?.lease(lease);
        this.#tellLease(decision);
        const isCheck = this.#parts.state.checks.has(key);
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
        this.#parts.ports.get(session)?.send({ message: "cancel", cancel: { leaseId, reason, letRun } });
        return;
      }
      case "accept":
        this.#parts.ports.get(decision.session)?.accept(decision.fingerprint);
        return;
      case "resolve": {
        const waiter = this.#parts.waiters.take(decision.key);
        const result = resultOf(decision);
        observer.operationEnded(waiter.operation.kind, "done", result);
        for (const digest of Object.values(result.artifacts ?? {})) this.#parts.hold?.(digest, waiter.scope);
        if (decision.check !== undefined)
          this.#parts.checks.begin(decision.check, waiter.operation, waiter.message, result);
        waiter.resolve(result);
        return;
      }
      case "check-ended": {
        const { kind } = this.#parts.checks.end(decision.key, decision.outcome);
        observer.checkEnded(decision.outcome);
        logger.debug({ kind, operation: decision.key, outcome: decision.outcome }, "a result was checked");
        return;
      }
      case "disagreed": {
        const { key, workers } = decision;
        const { kind } = this.#parts.checks.of(key)!.operation;
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
        for (const waiter of this.#parts.waiters.takeAllOf(decision.scope)) {
          observer.operationEnded(waiter.operation.kind, "withdrawn");
          waiter.reject(new DistrustedResultsError(decision.reason));
        }
        return;
      case "fail": {
        const waiter = this.#parts.waiters.take(decision.key);
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
        this.#parts.timers.lookAgain(decision.afterMs);
        return;
      case "disconnect":
        this.#parts.ports.get(decision.session)?.end();
        this.#parts.ports.remove(decision.session);
        return;
    }
  }

  #expel({ workerId, session, reason }: DecisionOf<"expel">): void {
    const { logger, observer, onExpelled } = this.#parts;
    logger.error({ worker: workerId, reason }, "worker expelled");
    observer.workerExpelled();
    const port = session === undefined ? undefined : this.#parts.ports.get(session);
    port?.send({ message: "refused", refused: { reason: `it was expelled, since ${reason}` } });
    port?.end();
    if (session !== undefined) this.#parts.ports.remove(session);
    onExpelled?.(workerId, reason);
  }

  #logSecond({ key, fingerprint, session }: DecisionOf<"lease">, slow: Slowness): void {
    const { kind } = this.#parts.waiters.get(key)!.operation;
    const [runningMs, usualMs, elsewhereMs] = [slow.runningMs, slow.usualMs, slow.elsewhereMs].map(
      Math.round,
    );
    this.#parts.logger.info(
      { kind, fingerprint, slow: slow.workerId, worker: this.#parts.state.workers.get(session)?.workerId },
      `a slow operation is computed a second time: it runs for ${runningMs} ms on a worker that usually takes ${usualMs} ms, another takes ${elsewhereMs} ms`,
    );
  }

  #tellLease({ leaseId, key, session, fingerprint }: DecisionOf<"lease">): void {
    const operation = this.#parts.state.operations.get(key);
    const worker = this.#parts.state.workers.get(session);
    if (!operation || !worker) return;
    const { scope, kind } = operation;
    this.#parts.reissues.granted(leaseId, { scope, workerId: worker.workerId, kind, fingerprint });
  }

  #tellReissue({ leaseId, end }: DecisionOf<"lease-ended">): void {
    const told = this.#parts.reissues.ended(leaseId, end, this.#parts.timers.now());
    if (told === undefined) return;
    const { scope, workerId, kind, fingerprint, why } = told;
    const level = end === "moved" || end === "overtaken" ? "debug" : "info";
    this.#parts.logger[level](
      { scope, worker: workerId, kind, operation: fingerprint.slice(0, 12), end },
      `an operation goes to another worker: ${why}`,
    );
  }
}
