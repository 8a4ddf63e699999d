import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRng, philox4x32, seedRng } from "../../../coordinator/search/rng.ts";

type Four = [number, number, number, number];

describe("philox4x32-10", () => {
  // Known answers of the Random123 distribution (`kat_vectors`), the authors' own.
  test.each<{ counter: Four; key: [number, number]; expected: Four }>([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      expected: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      expected: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      expected: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])("gives the published answer for key $key", ({ counter, key, expected }) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });
});

test("a generator continued from its state, as JSON, gives the same words", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(50), (seed, before) => {
      const rng = createRng(seedRng(seed));
      for (let k = 0; k < before; k++) rng.word();
      const copy = createRng(JSON.parse(JSON.stringify(rng.state())));
      expect(Array.from({ length: 9 }, copy.word)).toEqual(Array.from({ length: 9 }, rng.word));
    }),
    { numRuns: 30 },
  );
});

test("seeds above 32 bits differ from their lower half", () => {
  expect(createRng(seedRng(2 ** 32 + 5)).word()).not.toBe(createRng(seedRng(5)).word());
});

test("integers stay below the bound and come about equally often", () => {
  const rng = createRng(seedRng(123_456));
  const counts = new Array<number>(7).fill(0);
  for (let k = 0; k < 7_000; k++) counts[rng.int(7)]! += 1;
  // Five standard deviations of a binomial count of mean 1,000.
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  // Modulo would give the lower third of this range half of all draws.
  const bound = 3 * 2 ** 30;
  const low = Array.from({ length: 3_000 }, () => rng.int(bound)).filter((value) => value < 2 ** 30).length;
  expect(Math.abs(low - 1_000)).toBeLessThan(150);
});
