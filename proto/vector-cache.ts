/** What an entry takes beside its values: its key, and its places in the maps. */
const ENTRY_BYTES = 256;

/**
 * Vectors by key, at most `capacity` bytes of them and their keys; the least recently used one goes first. Who asks for a vector that
 * somebody else's call is computing waits for it.
 */
export class VectorCache {
  readonly #capacity: number;
  readonly #vectors = new Map<string, Float32Array>();
  readonly #computing = new Map<string, Promise<unknown>>();
  #bytes = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * The vector of each key. Those that nobody knows are computed together, each key once, given the indexes of their keys. A failure keeps
   * nothing; whoever waited for it computes the vectors itself.
   */
  async get(
    keys: readonly string[],
    compute: (indexes: readonly number[]) => Promise<readonly Float32Array[]>,
  ): Promise<Float32Array[]> {
    const found = new Map<string, Float32Array>();
    for (;;) {
      const missing = new Map<string, number>();
      const others = new Set<Promise<unknown>>();
      for (const [index, key] of keys.entries()) {
        if (found.has(key) || missing.has(key)) continue;
        const known = this.#vectors.get(key);
        const computing = this.#computing.get(key);
        if (known !== undefined) found.set(key, known);
        else if (computing !== undefined) others.add(computing);
        else missing.set(key, index);
      }
      if (missing.size > 0) await this.#compute(missing, compute, found);
      if (others.size === 0) break;
      await Promise.allSettled(others);
    }
    for (const [key, vector] of found) this.#keep(key, vector);
    return keys.map((key) => found.get(key)!);
  }

  async #compute(
    missing: ReadonlyMap<string, number>,
    compute: (indexes: readonly number[]) => Promise<readonly Float32Array[]>,
    found: Map<string, Float32Array>,
  ): Promise<void> {
    const work = compute([...missing.values()]);
    for (const key of missing.keys()) this.#computing.set(key, work);
    try {
      const computed = await work;
      for (const [at, key] of [...missing.keys()].entries()) {
        found.set(key, computed[at]!);
        // A copy: what was computed may be a part of a whole message.
        this.#keep(key, computed[at]!.slice());
      }
    } finally {
      for (const key of missing.keys()) this.#computing.delete(key);
    }
  }

  #keep(key: string, vector: Float32Array): void {
    const known = this.#vectors.get(key);
    this.#vectors.delete(key);
    this.#vectors.set(key, vector);
    this.#bytes += sizeOf(vector) - (known === undefined ? 0 : sizeOf(known));
    for (const [oldest, gone] of this.#vectors) {
      if (this.#bytes <= this.#capacity) break;
      this.#vectors.delete(oldest);
      this.#bytes -= sizeOf(gone);
    }
  }
}

const sizeOf = ({ byteLength }: Float32Array): number => byteLength + ENTRY_BYTES;
