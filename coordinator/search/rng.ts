/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * The state is a key and the number of words drawn, so it fits in a search's state and any word can be made again.
 */
export interface RngState {
  readonly key: readonly [number, number];
  /** 32-bit words drawn so far. */
  readonly drawn: number;
}

export interface Rng {
  /** The next 32 random bits, as an integer in [0, 2³²). */
  word(): number;
  /** A uniform integer in [0, bound), without modulo bias; `bound` in [1, 2³²]. */
  int(bound: number): number;
  state(): RngState;
}

type Block = readonly [number, number, number, number];

const TWO_32 = 2 ** 32;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

/** Ten rounds of Philox4x32 on one counter block. */
export function philox4x32(counter: Block, key: readonly [number, number]): Block {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [high0, low0] = [multiplyHigh(MULTIPLIERS[0], c0), Math.imul(MULTIPLIERS[0], c0)];
    const [high1, low1] = [multiplyHigh(MULTIPLIERS[1], c2), Math.imul(MULTIPLIERS[1], c2)];
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1 >>> 0, (high0 ^ c3 ^ k1) >>> 0, low0 >>> 0];
    k0 = (k0 + KEY_STEPS[0]) >>> 0;
    k1 = (k1 + KEY_STEPS[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Upper half of a 64-bit product of two 32-bit integers; both partial products stay below 2⁴⁹ and are exact. */
function multiplyHigh(a: number, b: number): number {
  const low = a * (b & 0xffff);
  return Math.floor((a * (b >>> 16) + Math.floor(low / 0x10000)) / 0x10000);
}

/** State of a fresh generator; `seed` is an integer in [0, 2⁵³). */
export function seedRng(seed: number): RngState {
  return { key: [seed % TWO_32, Math.floor(seed / TWO_32)], drawn: 0 };
}

/** Continues the generator at `state`; the same state gives the same words. */
export function createRng(state: RngState): Rng {
  let drawn = state.drawn;
  let block: Block | undefined;
  const word = (): number => {
    if (block === undefined || drawn % 4 === 0) {
      const index = Math.floor(drawn / 4);
      block = philox4x32([index % TWO_32, Math.floor(index / TWO_32), 0, 0], state.key);
    }
    return block[drawn++ % 4]!;
  };
  const int = (bound: number): number => {
    const limit = TWO_32 - (TWO_32 % bound);
    for (;;) {
      const drawnWord = word();
      if (drawnWord < limit) return drawnWord % bound;
    }
  };
  return { word, int, state: () => ({ key: state.key, drawn }) };
}

export const pick = <T>(rng: Rng, values: readonly T[]): T => values[rng.int(values.length)]!;

/** True with the given probability, in steps of 2⁻³². */
export const chance = (rng: Rng, probability: number): boolean => rng.word() / TWO_32 < probability;
