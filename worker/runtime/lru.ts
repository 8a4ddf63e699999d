/** Values by key, at most `capacity` of them: making one more lets the least recently used one go. */
export class Lru<V> {
  readonly #values = new Map<string, V>();
  readonly #capacity: number;
  readonly #release: (value: V) => Promise<void>;

  constructor(capacity: number, release: (value: V) => Promise<void> = async () => {}) {
    this.#capacity = capacity;
    this.#release = release;
  }

  /** The value of a key, made where it is missing. Room is made before, so that two never need memory at once. */
  async get(key: string, make: () => Promise<V>): Promise<V> {
    const known = this.#values.get(key);
    if (known !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, known);
      return known;
    }
    while (this.#values.size >= this.#capacity) await this.#drop([...this.#values.keys()][0]!);
    const value = await make();
    this.#values.set(key, value);
    return value;
  }

  /** Lets go of the values whose keys match. */
  async drop(matches: (key: string) => boolean): Promise<void> {
    for (const key of [...this.#values.keys()].filter(matches)) await this.#drop(key);
  }

  async #drop(key: string): Promise<void> {
    const value = this.#values.get(key)!;
    this.#values.delete(key);
    await this.#release(value);
  }
}
