import { uniform } from "../support/uniform.ts";

/** Everything random of a run comes from one seed; each part draws from a branch of its own, so that one more draw there moves nothing elsewhere. */
export class Random {
  readonly #seed: number;
  readonly #draw: () => number;

  constructor(seed: number) {
    this.#seed = seed;
    this.#draw = uniform(seed);
  }

  branch(name: string): Random {
    let hash = this.#seed ^ 0x811c9dc5;
    for (let k = 0; k < name.length; k++) hash = Math.imul(hash ^ name.charCodeAt(k), 0x01000193);
    return new Random(hash);
  }

  /** In [0, 1). */
  number(): number {
    return this.#draw();
  }

  /** In [low, high]. */
  int(low: number, high: number): number {
    return low + Math.floor(this.#draw() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.#draw() < probability;
  }

  pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#draw() * values.length)]!;
  }
}
