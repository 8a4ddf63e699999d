import fc from "fast-check";
import { expect, test } from "vitest";
import { lowest } from "../../../worker/programs/lowest.ts";

test("of equal values the lower id comes first", () => {
  const values = new Map([
    [3, 1],
    [5, -2],
    [8, 1],
    [9, -2],
    [11, 0],
  ]);

  expect(lowest([...values.keys()], (id) => values.get(id)!, 4)).toEqual([5, 9, 11, 3]);
});

test("it is the head of a stable sort by value", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1 }), fc.nat(), (values, wanted) => {
      const ids = values.map((_, id) => id);
      const count = 1 + (wanted % ids.length);
      const sorted = [...ids].sort((a, b) => values[a]! - values[b]! || a - b);
      expect(lowest(ids, (id) => values[id]!, count)).toEqual(sorted.slice(0, count));
    }),
  );
});
