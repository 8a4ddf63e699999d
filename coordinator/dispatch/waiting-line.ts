/** Operations that wait, by ascending order of submission: one that comes back stands where it stood. */
export class WaitingLine {
  readonly #orders: number[] = [];
  readonly #keys: string[] = [];

  get length(): number {
    return this.#keys.length;
  }

  /** The keys in order; not to be changed. */
  get keys(): readonly string[] {
    return this.#keys;
  }

  add(order: number, key: string): void {
    const place = this.#placeOf(order);
    this.#orders.splice(place, 0, order);
    this.#keys.splice(place, 0, key);
  }

  remove(order: number): void {
    const place = this.#placeOf(order);
    if (this.#orders[place] !== order) return;
    this.#orders.splice(place, 1);
    this.#keys.splice(place, 1);
  }

  /** First place whose order is not smaller. */
  #placeOf(order: number): number {
    let low = 0;
    let high = this.#orders.length;
    // Almost everything is added at the end and removed at the start.
    if (high === 0 || order > this.#orders[high - 1]!) return high;
    if (order <= this.#orders[0]!) return 0;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#orders[middle]! < order) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
