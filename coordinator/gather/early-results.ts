import type { Digest, TensorMap } from "../../proto/operations.ts";

/** A result that nobody has asked for yet; what it must look like is not known before its operation is. */
export interface EarlyResult {
  readonly fingerprint: Digest;
  readonly workerId: string;
  readonly deviceClass: string;
  readonly tensors: TensorMap;
  readonly forwards: number;
  readonly tokens: number;
  readonly seconds: number;
}

export interface EarlyLimits {
  /** Milliseconds that a result is kept for. */
  readonly keepMs: number;
  /** Bytes of tensors that are kept together; the oldest give way. */
  readonly keepBytes: number;
}

interface Kept {
  readonly early: EarlyResult;
  readonly bytes: number;
  readonly untilMs: number;
}

/**
 * Results that arrived before their operation was asked for: those of a step that a restarted coordinator makes again. One for each operation
 * and device class, the last one that came.
 */
export class EarlyResults {
  readonly #limits: EarlyLimits;
  readonly #onForgotten: (results: number) => void;
  /** In the order in which they came. */
  readonly #kept = new Map<string, Kept>();
  readonly #keysOf = new Map<Digest, Set<string>>();
  #bytes = 0;

  constructor(limits: EarlyLimits, onForgotten: (results: number) => void = () => {}) {
    this.#limits = limits;
    this.#onForgotten = onForgotten;
  }

  get size(): number {
    return this.#kept.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  keep(early: EarlyResult, nowMs: number): void {
    const key = keyOf(early);
    if (this.#kept.has(key)) this.#forget([key]);
    const bytes = Object.values(early.tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
    this.#kept.set(key, { early, bytes, untilMs: nowMs + this.#limits.keepMs });
    this.#keysOf.set(early.fingerprint, (this.#keysOf.get(early.fingerprint) ?? new Set()).add(key));
    this.#bytes += bytes;
    this.expire(nowMs);
  }

  /** Those of an operation, the last one that came first. */
  of(fingerprint: Digest, nowMs: number): EarlyResult[] {
    this.expire(nowMs);
    return [...(this.#keysOf.get(fingerprint) ?? [])].map((key) => this.#kept.get(key)!.early).reverse();
  }

  /** Takes one out, since it was used or is of no use. */
  remove(early: EarlyResult): void {
    this.#drop(keyOf(early));
  }

  /** Nothing that this worker computed is of any use. */
  removeAllOf(workerId: string): void {
    this.#forget([...this.#kept].flatMap(([key, { early }]) => (early.workerId === workerId ? [key] : [])));
  }

  /** Forgets what was kept for long enough, and what there is no room for. */
  expire(nowMs: number): void {
    for (const [key, { untilMs }] of this.#kept) {
      if (untilMs > nowMs && this.#bytes <= this.#limits.keepBytes) return;
      this.#forget([key]);
    }
  }

  #forget(keys: readonly string[]): void {
    for (const key of keys) this.#drop(key);
    this.#onForgotten(keys.length);
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key);
    if (!kept) return;
    const { fingerprint } = kept.early;
    const keys = this.#keysOf.get(fingerprint)!;
    this.#kept.delete(key);
    keys.delete(key);
    if (keys.size === 0) this.#keysOf.delete(fingerprint);
    this.#bytes -= kept.bytes;
  }
}

const keyOf = ({ fingerprint, deviceClass }: Pick<EarlyResult, "fingerprint" | "deviceClass">): string =>
  `${fingerprint}/${deviceClass}`;
