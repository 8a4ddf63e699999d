/** Vectors by key, at most `capacity` of them, the least recently used one goes first. */
export class VectorCache {
  readonly #capacity: number;
  readonly #vectors = new Map<string, Float32Array>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The vector of each key; those that are not known are computed together, each key once, given the indexes of their keys. */
  async get(
    keys: readonly string[],
    compute: (indexes: readonly number[]) => Promise<readonly Float32Array[]>,
  ): Promise<Float32Array[]> {
    const found = new Map<string, Float32Array>();
    const missing = new Map<string, number>();
    for (const [index, key] of keys.entries()) {
      const known = this.#vectors.get(key);
      if (known !== undefined) found.set(key, known);
      else if (!missing.has(key)) missing.set(key, index);
    }
    if (missing.size > 0) {
      const computed = await compute([...missing.values()]);
      for (const [at, key] of [...missing.keys()].entries()) found.set(key, computed[at]!);
    }
    for (const [key, vector] of found) this.#keep(key, vector);
    return keys.map((key) => found.get(key)!);
  }

  #keep(key: string, vector: Float32Array): void {
    this.#vectors.delete(key);
    this.#vectors.set(key, vector);
    if (this.#vectors.size > this.#capacity) this.#vectors.delete([...this.#vectors.keys()][0]!);
  }
}
