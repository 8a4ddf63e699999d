import { createRng, type RngState } from "../search/rng.ts";

/** A permutation of 0…count−1, and the generator's state after it (Fisher–Yates). */
export function shuffled(count: number, state: RngState): { order: number[]; state: RngState } {
  const rng = createRng(state);
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = rng.int(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return { order, state: rng.state() };
}

/** Batches of every epoch: rows in a fresh seeded order each time, the last batch of an epoch possibly smaller. */
export function planBatches(rows: number, batchSize: number, epochs: number, seed: RngState): number[][] {
  const batches: number[][] = [];
  let state = seed;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const drawn = shuffled(rows, state);
    state = drawn.state;
    for (let start = 0; start < rows; start += batchSize)
      batches.push(drawn.order.slice(start, start + batchSize));
  }
  return batches;
}
