/** Values by key, whose costs add up to `capacity` at most, or a single one: making one more lets the least recently used ones go. */
export class Lru<V> {
  readonly #values = new Map<string, { readonly value: V; readonly cost: number }>();
  readonly #capacity: number;
  readonly #release: (value: V) => Promise<void>;

  constructor(capacity: number, release: (value: V) => Promise<void> = async () => {}) {
    this.#capacity = capacity;
    this.#release = release;
  }

  /**
   * The value of a key, made where it is missing. Room is made before, so that two never need memory at once.
   *
   * @param costOf what it will cost, asked where it is missing; absent: 1
   */
  async get(key: string, make: () => Promise<V>, costOf: () => number = () => 1): Promise<V> {
    const known = this.#values.get(key);
    if (known !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, known);
      return known.value;
    }
    const cost = costOf();
    while (this.#values.size > 0 && this.#cost() + cost > this.#capacity)
      await this.#drop([...this.#values.keys()][0]!);
    const value = await make();
    this.#values.set(key, { value, cost });
    return value;
  }

  /** Lets go of the values whose keys match. */
  async drop(matches: (key: string) => boolean): Promise<void> {
    for (const key of [...this.#values.keys()].filter(matches)) await this.#drop(key);
  }

  #cost(): number {
    return [...this.#values.values()].reduce((sum, { cost }) => sum + cost, 0);
  }

  async #drop(key: string): Promise<void> {
    const { value } = this.#values.get(key)!;
    this.#values.delete(key);
    await this.#release(value);
  }
}
