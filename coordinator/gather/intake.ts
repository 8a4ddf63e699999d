import type { Logger } from "pino";
import type { Operation, OperationResult, TensorMap } from "../../proto/operations.ts";
import {
  decodeResultEnvelope,
  MalformedEnvelopeError,
  type ResultEnvelope,
} from "../../proto/result-envelope.ts";
import { decodeTensors } from "../../proto/tensors.ts";
import type { ArtifactStore } from "../dispatch/artifact-store.ts";
import type { Dispatcher } from "../dispatch/dispatcher.ts";
import type { Verdict } from "../dispatch/events.ts";
import { deviceClassName } from "../dispatch/hello.ts";
import type { DispatchObserver, ResultFate, ResultPath } from "../dispatch/observer.ts";
import { findFault } from "./validate.ts";

interface Judgement {
  readonly verdict: Verdict;
  readonly fate: ResultFate;
  readonly result?: OperationResult;
}

/** Reads results, on whichever path they came, judges them and tells the dispatcher. */
export class ResultIntake {
  readonly #dispatcher: Dispatcher;
  readonly #store: ArtifactStore;
  readonly #observer: DispatchObserver;
  readonly #logger: Logger;

  constructor(parts: {
    readonly dispatcher: Dispatcher;
    readonly store: ArtifactStore;
    readonly observer: DispatchObserver;
    readonly logger: Logger;
  }) {
    this.#dispatcher = parts.dispatcher;
    this.#store = parts.store;
    this.#observer = parts.observer;
    this.#logger = parts.logger;
  }

  /**
   * `workerId`: who sent it, as the path vouches for it. Nothing is thrown: bytes that cannot be read are counted, and
   * their sender's leases go to others. A promise is returned only where an artifact must be read.
   */
  receive(
    bytes: Uint8Array,
    from: { readonly workerId: string; readonly path: ResultPath },
  ): void | Promise<void> {
    let envelope: ResultEnvelope;
    try {
      envelope = decodeResultEnvelope(bytes);
    } catch (error) {
      if (!(error instanceof MalformedEnvelopeError)) throw error;
      this.#observer.resultArrived(from.path, "malformed");
      this.#logger.warn({ worker: from.workerId, reason: error.message }, "unreadable result");
      this.#dispatcher.handle({ kind: "malformed", workerId: from.workerId, reason: error.message });
      return;
    }
    const { outcome } = envelope;
    if (outcome.kind === "artifact") return this.#receiveArtifact(envelope, outcome.digest, from);
    const operation = this.#dispatcher.operationOf(envelope.fingerprint);
    const judgement =
      outcome.kind === "error"
        ? ({ verdict: outcome, fate: "error" } as const)
        : judge(operation, envelope, outcome.tensors);
    this.#conclude(envelope, judgement, from);
  }

  async #receiveArtifact(
    envelope: ResultEnvelope,
    digest: string,
    from: { readonly workerId: string; readonly path: ResultPath },
  ): Promise<void> {
    let judgement: Judgement = { verdict: { kind: "valid" }, fate: "unneeded" };
    if (this.#dispatcher.operationOf(envelope.fingerprint)) {
      try {
        const tensors = decodeTensors(await this.#store.readUpload(digest));
        judgement = judge(this.#dispatcher.operationOf(envelope.fingerprint), envelope, tensors);
      } catch (error) {
        judgement = invalid((error as Error).message);
      }
    }
    await this.#store.releaseUpload(digest);
    this.#conclude(envelope, judgement, from);
  }

  #conclude(
    { fingerprint, deviceClass, programVersion }: ResultEnvelope,
    { verdict, fate, result }: Judgement,
    { workerId, path }: { readonly workerId: string; readonly path: ResultPath },
  ): void {
    this.#observer.resultArrived(path, fate);
    if (verdict.kind !== "valid")
      this.#logger.warn({ worker: workerId, fingerprint, verdict }, "result refused");
    const event = {
      kind: "result",
      fingerprint,
      workerId,
      deviceClass: deviceClassName(deviceClass, programVersion),
      verdict,
    } as const;
    this.#dispatcher.handle(event, result);
  }
}

function judge(
  operation: Operation | undefined,
  { forwards, tokens, seconds }: ResultEnvelope,
  tensors: TensorMap,
): Judgement {
  if (!operation) return { verdict: { kind: "valid" }, fate: "unneeded" };
  const fault = findFault(operation, tensors);
  if (fault !== undefined) return invalid(fault);
  return { verdict: { kind: "valid" }, fate: "used", result: { tensors, forwards, tokens, seconds } };
}

const invalid = (reason: string): Judgement => ({ verdict: { kind: "invalid", reason }, fate: "invalid" });
