import { expect, test } from "vitest";
import { RateLimit } from "../../../coordinator/http/rate-limit.ts";

test("a caller has its burst at once, then so many a second, and is told how long to wait", () => {
  let nowMs = 0;
  const limit = new RateLimit({ burst: 3, perSecond: 0.5 }, () => nowMs);
  expect([1, 2, 3, 4, 5].map(() => limit.take("a"))).toEqual([0, 0, 0, 2, 2]);
  nowMs += 1_000;
  expect(limit.take("a")).toBe(1);
  nowMs += 1_000;
  expect([limit.take("a"), limit.take("a")]).toEqual([0, 2]);
  nowMs += 3_600_000;
  expect([1, 2, 3, 4].map(() => limit.take("a"))).toEqual([0, 0, 0, 2]);
});

test("one caller takes nothing from another, and what is remembered of callers is bounded", () => {
  const limit = new RateLimit({ burst: 1, perSecond: 1 }, () => 0);
  expect([limit.take("a"), limit.take("b"), limit.take("a")]).toEqual([0, 0, 1]);
  for (let k = 0; k < 10_000; k++) limit.take(`address ${k}`);
  expect(limit.take("a")).toBe(0);
});
