/** Values that were added not long ago: at least the last `most`, at most twice as many. A Set that drops its oldest value each time gets slow. */
export class RecentSet<T> {
  readonly #most: number;
  #recent = new Set<T>();
  #older: ReadonlySet<T> = new Set();

  constructor(most: number) {
    this.#most = most;
  }

  has(value: T): boolean {
    return this.#recent.has(value) || this.#older.has(value);
  }

  add(value: T): void {
    this.#recent.add(value);
    if (this.#recent.size < this.#most) return;
    this.#older = this.#recent;
    this.#recent = new Set();
  }
}
