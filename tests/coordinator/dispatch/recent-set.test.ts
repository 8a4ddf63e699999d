import { expect, test } from "vitest";
import { RecentSet } from "../../../coordinator/dispatch/recent-set.ts";

test("the latest values are known, twice as many at most, also where one comes again", () => {
  const set = new RecentSet<number>(10);
  for (let value = 0; value < 100; value++) {
    set.add(value);
    set.add(value);
    for (let back = 0; back < 10 && back <= value; back++) expect(set.has(value - back)).toBe(true);
    expect(set.has(value - 20)).toBe(false);
  }
});
