import { expect, test } from "vitest";
import { isFinal, mayBecome, WORKER_STATES } from "../../worker/life.ts";

test("every state but the final ones leads to a final one, and nothing leaves those", () => {
  const final = WORKER_STATES.filter((kind) => isFinal({ kind } as never));
  expect(final).toEqual(["stopped", "refused", "failed"]);
  const reaches = (from: (typeof WORKER_STATES)[number], seen = new Set([from])): boolean =>
    final.includes(from as never) ||
    WORKER_STATES.some((to) => mayBecome(from, to) && !seen.has(to) && reaches(to, seen.add(to)));
  for (const state of WORKER_STATES) expect(reaches(state)).toBe(true);
});

test("a worker is ready only after a coordinator welcomed it, and drains only from there", () => {
  expect(mayBecome("starting", "serving")).toBe(false);
  expect(mayBecome("connecting", "draining")).toBe(false);
  expect(mayBecome("serving", "draining")).toBe(true);
});
