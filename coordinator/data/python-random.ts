/**
 * Python's `random.Random(seed)`: the Mersenne Twister MT19937 and the draws made from it, bit for bit as CPython 3.11 makes them, so
 * that draws recorded by the reference code can be repeated from their seed.
 */
export class PythonRandom {
  readonly #state = new Uint32Array(STATE_WORDS);
  #next = STATE_WORDS;

  /** @param seed an integer from 0 to 2⁵³ − 1 */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`the seed ${seed} is no integer from 0 to 2^53 - 1`);
    }
    const high = Math.floor(seed / 2 ** 32);
    this.#seedFrom(high === 0 ? [seed >>> 0] : [seed >>> 0, high]);
  }

  /** `getrandbits(bits)` for 1 to 32 bits. */
  bits(bits: number): number {
    return this.#word() >>> (32 - bits);
  }

  /** `random()`: a float in [0, 1) with 53 bits. */
  random(): number {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** `randrange(end)`: an integer in [0, end), `end` from 1 to 2³¹. */
  below(end: number): number {
    if (!Number.isInteger(end) || end < 1 || end > 2 ** 31) {
      throw new RangeError(`cannot draw an integer below ${end}`);
    }
    const bits = 32 - Math.clz32(end); // bit length of `end`, not of `end` − 1, as CPython has it
    let drawn = this.bits(bits);
    while (drawn >= end) drawn = this.bits(bits);
    return drawn;
  }

  /** `randint(low, high)`: an integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** `choice(items)`. */
  choice<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)]!;
  }

  /** `sample(range(count), size)`: that many distinct integers below `count`, in the order in which they are drawn. */
  sample(count: number, size: number): number[] {
    if (size > count) throw new RangeError(`cannot draw ${size} of ${count}`);
    // CPython shuffles a list where that is smaller than a set of what was drawn.
    const setSize = 21 + (size > 5 ? 4 ** Math.ceil(Math.log(size * 3) / Math.log(4)) : 0);
    if (count > setSize) return this.#distinctBelow(count, size);
    const pool = Array.from({ length: count }, (_, index) => index);
    return Array.from({ length: size }, (_, drawn) => {
      const place = this.below(count - drawn);
      const value = pool[place]!;
      pool[place] = pool[count - drawn - 1]!;
      return value;
    });
  }

  #distinctBelow(count: number, size: number): number[] {
    const drawn = new Set<number>();
    while (drawn.size < size) drawn.add(this.below(count));
    return [...drawn];
  }

  /** `init_by_array`. */
  #seedFrom(key: readonly number[]): void {
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < STATE_WORDS; i++) {
      state[i] = Math.imul(1812433253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i;
    }
    let i = 1;
    let j = 0;
    const step = (): void => {
      i++;
      if (i < STATE_WORDS) return;
      state[0] = state[STATE_WORDS - 1]!;
      i = 1;
    };
    for (let k = Math.max(STATE_WORDS, key.length); k > 0; k--) {
      const mixed = Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1664525);
      state[i] = (state[i]! ^ mixed) + key[j]! + j;
      j = (j + 1) % key.length;
      step();
    }
    for (let k = STATE_WORDS - 1; k > 0; k--) {
      const mixed = Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1566083941);
      state[i] = (state[i]! ^ mixed) - i;
      step();
    }
    state[0] = 0x80000000;
  }

  /** The next 32 bits. */
  #word(): number {
    if (this.#next >= STATE_WORDS) {
      this.#twist();
      this.#next = 0;
    }
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < STATE_WORDS; i++) {
      const joined = (state[i]! & 0x80000000) | (state[(i + 1) % STATE_WORDS]! & 0x7fffffff);
      const mixed = (joined >>> 1) ^ ((joined & 1) === 0 ? 0 : 0x9908b0df);
      state[i] = state[(i + 397) % STATE_WORDS]! ^ mixed;
    }
  }
}

const STATE_WORDS = 624;
