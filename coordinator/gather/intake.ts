import type { Logger } from "pino";
import type { Digest, Operation, OperationResult, TensorMap } from "../../proto/operations.ts";
import {
  decodeResultEnvelope,
  MalformedEnvelopeError,
  type ResultEnvelope,
} from "../../proto/result-envelope.ts";
import { decodeTensors } from "../../proto/tensors.ts";
import type { ArtifactStore } from "../dispatch/artifact-store.ts";
import type { Dispatcher, RecalledResult } from "../dispatch/dispatcher.ts";
import type { Verdict } from "../dispatch/events.ts";
import { deviceClassName } from "../dispatch/hello.ts";
import type { DispatchObserver, ResultFate, ResultPath } from "../dispatch/observer.ts";
import type { ResultUploads } from "../dispatch/result-uploads.ts";
import { EarlyResults } from "./early-results.ts";
import { findFault } from "./validate.ts";
import { findArtifactFault, findStateFault } from "./validate-artifacts.ts";

/** What results need of the store. */
export type UploadedArtifacts = Pick<ArtifactStore, "find" | "keepUpload" | "release"> & {
  readonly uploads: Pick<ResultUploads, "bytes" | "read" | "release">;
};

interface Judgement {
  readonly verdict: Verdict;
  readonly fate: ResultFate;
  readonly result?: OperationResult;
}

/** Reads results, on whichever path they came, judges them and tells the dispatcher. */
export class ResultIntake {
  readonly #dispatcher: Dispatcher;
  readonly #store: UploadedArtifacts;
  readonly #observer: DispatchObserver;
  readonly #logger: Logger;
  readonly #early: EarlyResults;
  /** Results with files that are being read: the next one of the same operation comes after it. */
  readonly #reading = new Map<Digest, Promise<void>>();

  constructor(parts: {
    readonly dispatcher: Dispatcher;
    readonly store: UploadedArtifacts;
    readonly observer: DispatchObserver;
    readonly logger: Logger;
  }) {
    this.#dispatcher = parts.dispatcher;
    this.#store = parts.store;
    this.#observer = parts.observer;
    this.#logger = parts.logger;
    const { keepResultsMs: keepMs, keepResultsBytes: keepBytes } = parts.dispatcher.settings;
    this.#early = new EarlyResults({ keepMs, keepBytes }, (results) =>
      parts.observer.keptResults("forgotten", results),
    );
  }

  /** Right results of an operation that came before it was asked for. */
  recall(fingerprint: Digest, operation: Operation): RecalledResult[] {
    return this.#early.of(fingerprint, this.#dispatcher.nowMs).flatMap((early) => {
      const { workerId, deviceClass, forwards, tokens, seconds, tensors } = early;
      const fault = findFault(operation, tensors) ?? findArtifactFault(operation);
      if (fault !== undefined) {
        this.#logger.warn({ worker: workerId, fingerprint, reason: fault }, "kept result refused");
        this.#observer.keptResults("invalid", 1);
        this.#early.remove(early);
        return [];
      }
      const use = () => {
        this.#observer.keptResults("reused", 1);
        this.#early.remove(early);
      };
      return [{ workerId, deviceClass, result: { tensors, forwards, tokens, seconds }, use }];
    });
  }

  /**
   * `workerId`: who sent it, as the path vouches for it. Nothing is thrown: bytes that cannot be read, or name another worker, are
   * counted, and their sender's leases go to others. A promise is returned only where an artifact must be read.
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
      return this.#turnAway(from, "malformed", error.message);
    }
    if (envelope.workerId !== from.workerId) {
      return this.#turnAway(
        from,
        "forged",
        `it says that worker ${envelope.workerId.slice(0, 80)} computed it`,
      );
    }
    const { outcome } = envelope;
    if (outcome.kind === "artifact" || envelope.artifacts)
      return this.#inTurn(envelope.fingerprint, () => this.#receiveFiles(envelope, from));
    const operation = this.#dispatcher.operationOf(envelope.fingerprint);
    const judgement =
      outcome.kind === "error"
        ? ({ verdict: outcome, fate: "error" } as const)
        : (this.#keep(envelope, outcome.tensors, from.workerId) ??
          judge(operation, envelope, outcome.tensors));
    this.#conclude(envelope, judgement, from);
  }

  /** A result that counts for nothing: what its sender holds goes to others. */
  #turnAway(
    { workerId, path }: { readonly workerId: string; readonly path: ResultPath },
    fate: "malformed" | "forged",
    reason: string,
  ): void {
    this.#observer.resultArrived(path, fate);
    this.#logger.warn({ worker: workerId, reason }, `${fate} result`);
    this.#dispatcher.handle({ kind: "malformed", workerId, reason });
  }

  #inTurn(fingerprint: Digest, read: () => Promise<void>): Promise<void> {
    const reading = (this.#reading.get(fingerprint) ?? Promise.resolve()).then(read);
    const settled = reading
      .catch(() => {})
      .finally(() => {
        if (this.#reading.get(fingerprint) === settled) this.#reading.delete(fingerprint);
      });
    this.#reading.set(fingerprint, settled);
    return reading;
  }

  /** A result that is in files, or names some. */
  async #receiveFiles(
    envelope: ResultEnvelope,
    from: { readonly workerId: string; readonly path: ResultPath },
  ): Promise<void> {
    const { outcome, artifacts = {} } = envelope;
    let judgement = UNNEEDED;
    const holder = `result ${envelope.fingerprint}`;
    const kept: Digest[] = [];
    if (outcome.kind === "error") judgement = { verdict: outcome, fate: "error" };
    else if (this.#dispatcher.operationOf(envelope.fingerprint) || this.#isEarly(envelope, from.workerId)) {
      try {
        const tensors =
          outcome.kind === "tensors"
            ? outcome.tensors
            : decodeTensors(await this.#store.uploads.read(outcome.digest));
        judgement =
          this.#keep(envelope, tensors, from.workerId) ??
          (await this.#judgeFiles(envelope, tensors, (digest) => {
            kept.push(digest);
            return this.#store.keepUpload(digest, holder);
          }));
      } catch (error) {
        judgement = invalid((error as Error).message);
      }
    }
    const given = new Set(Object.values(artifacts));
    if (outcome.kind === "artifact") given.add(outcome.digest);
    for (const digest of given) await this.#store.uploads.release(digest);
    this.#conclude(envelope, judgement, from);
    // Whoever was given the result holds them now. They go where nobody was: who waited has gone meanwhile, or a file was missing.
    for (const digest of kept) await this.#store.release(digest, holder);
  }

  /** Artifacts of a valid result become those that operations may name, before anyone hears of them. */
  async #judgeFiles(
    envelope: ResultEnvelope,
    tensors: TensorMap,
    keep: (digest: Digest) => Promise<void>,
  ): Promise<Judgement> {
    const { fingerprint, artifacts } = envelope;
    const operation = this.#dispatcher.operationOf(fingerprint);
    const judgement = judge(operation, envelope, tensors);
    if (!operation || !artifacts || judgement.fate !== "used") return judgement;
    const fault = await findStateFault(operation, artifacts, this.#store);
    if (fault !== undefined) return invalid(fault);
    for (const digest of new Set(Object.values(artifacts))) await keep(digest);
    return judgement;
  }

  /** A worker is not believed any more. */
  forgetAllOf(workerId: string): void {
    this.#early.removeAllOf(workerId);
  }

  /** Nobody asked for it yet, and its sender is believed. States of training runs are too large to wait for somebody. */
  #isEarly({ fingerprint, artifacts }: ResultEnvelope, workerId: string): boolean {
    const dispatcher = this.#dispatcher;
    if (dispatcher.isExpelled(workerId)) return false;
    return !artifacts && !dispatcher.operationOf(fingerprint) && !dispatcher.wasAnswered(fingerprint);
  }

  #keep(envelope: ResultEnvelope, tensors: TensorMap, workerId: string): Judgement | undefined {
    if (!this.#isEarly(envelope, workerId)) return undefined;
    const { fingerprint, programVersion, forwards, tokens, seconds } = envelope;
    const deviceClass = deviceClassName(envelope.deviceClass, programVersion);
    this.#early.keep(
      { fingerprint, workerId, deviceClass, tensors, forwards, tokens, seconds },
      this.#dispatcher.nowMs,
    );
    return { verdict: { kind: "valid" }, fate: "kept" };
  }

  /** Whether anybody was given the result. */
  #conclude(
    { fingerprint, deviceClass, programVersion, artifacts = {} }: ResultEnvelope,
    { verdict, fate, result }: Judgement,
    { workerId, path }: { readonly workerId: string; readonly path: ResultPath },
  ): boolean {
    if (verdict.kind !== "valid")
      this.#logger.warn({ worker: workerId, fingerprint, verdict }, "result refused");
    const event = {
      kind: "result",
      fingerprint,
      workerId,
      deviceClass: deviceClassName(deviceClass, programVersion),
      ...(result && { seconds: result.seconds, tokens: result.tokens }),
      ...(artifacts.weights === undefined || result === undefined ? {} : { state: artifacts.weights }),
      verdict,
    } as const;
    const isUsed = this.#dispatcher.handle(event, result);
    const told = fate === "used" && !isUsed ? "unneeded" : fate;
    this.#observer.resultArrived(path, this.#dispatcher.isExpelled(workerId) ? "expelled" : told);
    return isUsed;
  }
}

function judge(
  operation: Operation | undefined,
  { artifacts, forwards, tokens, seconds }: ResultEnvelope,
  tensors: TensorMap,
): Judgement {
  if (!operation) return UNNEEDED;
  const fault = findFault(operation, tensors) ?? findArtifactFault(operation, artifacts);
  if (fault !== undefined) return invalid(fault);
  const result = { tensors, ...(artifacts && { artifacts }), forwards, tokens, seconds };
  return { verdict: { kind: "valid" }, fate: "used", result };
}

const UNNEEDED: Judgement = { verdict: { kind: "valid" }, fate: "unneeded" };

const invalid = (reason: string): Judgement => ({ verdict: { kind: "invalid", reason }, fate: "invalid" });
