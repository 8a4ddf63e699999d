import { expect, test } from "vitest";
import { decideLease, type Leader, type LeaseSeen } from "../../../coordinator/store/leader-lease.ts";

const leader: Leader = {
  id: "a",
  address: "one:7070",
  host: "one",
  pid: 7,
  since: "2026-01-01T00:00:00.000Z",
};
const decide = (revision: number, seen: LeaseSeen | undefined, nowMs: number, myId = "b") =>
  decideLease({ revision, leader }, seen, { myId, nowMs, leaseMs: 7_000 });

test("a lease that nobody has is taken", () => {
  const look = { revision: 4, leader: null };
  expect(decideLease(look, undefined, { myId: "b", nowMs: 0, leaseMs: 7_000 })).toEqual({ kind: "take" });
});

test("a lease is taken when it was seen unchanged for its whole time, and not before", () => {
  const first = decide(4, undefined, 1_000);
  expect(first).toEqual({ kind: "wait", leader, seen: { revision: 4, sinceMs: 1_000 } });
  expect(decide(4, { revision: 4, sinceMs: 1_000 }, 7_999)).toMatchObject({ kind: "wait" });
  const from = { leader, forMs: 7_000 };
  expect(decide(4, { revision: 4, sinceMs: 1_000 }, 8_000)).toEqual({ kind: "take", from });
});

test("a renewal begins the time anew", () => {
  expect(decide(5, { revision: 4, sinceMs: 1_000 }, 60_000)).toEqual({
    kind: "wait",
    leader,
    seen: { revision: 5, sinceMs: 60_000 },
  });
});

test("a standby that could not look does not count the time", () => {
  expect(decide(4, undefined, 60_000)).toMatchObject({ kind: "wait", seen: { sinceMs: 60_000 } });
});

test("a lease whose taking was not answered is known again", () => {
  expect(decide(5, { revision: 4, sinceMs: 0 }, 1, "a")).toEqual({ kind: "mine" });
});
