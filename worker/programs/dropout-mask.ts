import { createHash } from "node:crypto";

/**
 * A dropout mask: each element 0 with probability `p`, else 1 ÷ (1 − p). Element i depends on (seed, site, i) alone, so the
 * same step has the same masks wherever it runs.
 */
export function dropoutMask(count: number, p: number, seed: number, site: string): Float32Array {
  const key = createHash("sha256").update(`dropout ${seed} ${site}`).digest();
  const [first, second] = [key.readUInt32LE(0), key.readUInt32LE(4)];
  const dropBelow = Math.round(p * 2 ** 32);
  const kept = 1 / (1 - p);
  const mask = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    // Two rounds of a 32-bit finaliser, each with a key of its own, over the counter.
    const drawn = mixed(mixed(i ^ first) + second);
    mask[i] = drawn >>> 0 < dropBelow ? 0 : kept;
  }
  return mask;
}

/** A bijection of 32-bit words in which every input bit moves about half of the output bits (C. Wellons, "hash prospector"). */
function mixed(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}
