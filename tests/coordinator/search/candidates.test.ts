import fc from "fast-check";
import { expect, test } from "vitest";
import {
  applyDelta,
  createVisited,
  deltaOf,
  drawCandidates,
  drawInitial,
} from "../../../coordinator/search/candidates.ts";
import { createRng, seedRng } from "../../../coordinator/search/rng.ts";

const trigger = fc.array(fc.nat(9), { minLength: 3, maxLength: 3 });
const topk = fc.array(fc.uniqueArray(fc.nat(9), { minLength: 4, maxLength: 4 }), {
  minLength: 3,
  maxLength: 3,
});

test("candidates are distinct, differ from the current trigger in one position by one of its ids, and were not visited", () => {
  fc.assert(
    fc.property(
      trigger,
      topk,
      fc.array(trigger),
      fc.nat(12),
      fc.nat(),
      (current, ids, before, count, seed) => {
        const visited = createVisited(current, [
          { trigger: current, deltas: before.map((other) => deltaOf(current, other)) },
        ]);
        const drawn = drawCandidates(current, ids, count, { visited, rng: createRng(seedRng(seed)) });

        expect(new Set(drawn.map(String)).size).toBe(drawn.length);
        for (const candidate of drawn) {
          const [position, id, ...rest] = deltaOf(current, candidate);
          expect(rest).toEqual([]);
          expect(ids[position!]).toContain(id);
          expect([current, ...before].map(String)).not.toContain(String(candidate));
        }
        const space = new Set(
          ids.flatMap((choices, position) =>
            choices.map((id) => String(applyDelta(current, [position, id]))),
          ),
        );
        for (const other of [current, ...before]) space.delete(String(other));
        expect(drawn.length).toBe(Math.min(count, space.size));
      },
    ),
  );
});

test("an exhausted space gives no candidate", () => {
  const visited = createVisited([1], [{ trigger: [1], deltas: [[0, 2]] }]);
  const rng = createRng(seedRng(1));
  expect(drawCandidates([1], [[1, 2]], 8, { visited, rng })).toEqual([]);
});

test("a delta leads from one trigger to the other", () => {
  fc.assert(
    fc.property(trigger, trigger, (from, to) => {
      expect(applyDelta(from, deltaOf(from, to))).toEqual(to);
    }),
  );
});

test("the initial trigger holds ids of the vocabulary, independent of each other", () => {
  const vocabulary = [5, 8, 13];
  const rng = createRng(seedRng(7));
  const drawn = Array.from({ length: 200 }, () => drawInitial(vocabulary, 5, rng));
  expect(new Set(drawn.flat())).toEqual(new Set(vocabulary));
  expect(drawn.some((ids) => new Set(ids).size < 3)).toBe(true);
});
