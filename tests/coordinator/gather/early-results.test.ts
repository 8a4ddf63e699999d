import { expect, test } from "vitest";
import { type EarlyResult, EarlyResults } from "../../../coordinator/gather/early-results.ts";

/** A result of 40 bytes. */
const early = (fingerprint: string, { deviceClass = "cpu", workerId = "w1" } = {}): EarlyResult => ({
  ...{ fingerprint, deviceClass, workerId, forwards: 0, tokens: 0, seconds: 0 },
  tensors: { logits: { shape: [10, 1], data: new Float32Array(10) } },
});

function kept(limits = {}) {
  let forgotten = 0;
  const results = new EarlyResults({ keepMs: 1_000, keepBytes: 100, ...limits }, (more) => {
    forgotten += more;
  });
  const fingerprints = (nowMs: number) =>
    ["a", "b", "c"].filter((fingerprint) => results.of(fingerprint, nowMs).length > 0);
  return { results, fingerprints, forgotten: () => forgotten };
}

test("results are kept by operation and device class, the last one that came", () => {
  const { results, forgotten } = kept();
  results.keep(early("a"), 0);
  results.keep(early("a", { deviceClass: "cuda" }), 1);
  results.keep(early("a", { workerId: "w2" }), 2);
  expect(results.of("a", 3).map(({ workerId, deviceClass }) => `${workerId} ${deviceClass}`)).toEqual([
    "w2 cpu",
    "w1 cuda",
  ]);
  expect([results.size, results.bytes, forgotten()]).toEqual([2, 80, 1]);
});

test("they are forgotten after their time, and the oldest ones where there are too many bytes", () => {
  const { results, fingerprints, forgotten } = kept();
  results.keep(early("a"), 0);
  results.keep(early("b"), 600);
  expect(fingerprints(999)).toEqual(["a", "b"]);
  results.keep(early("c"), 999);
  expect(fingerprints(999)).toEqual(["b", "c"]);
  expect(fingerprints(1_600)).toEqual(["c"]);
  expect(fingerprints(1_999)).toEqual([]);
  expect([results.size, results.bytes, forgotten()]).toEqual([0, 0, 3]);
});

test("one that is larger than all the room is not kept, and none is where no time is given", () => {
  const small = kept({ keepBytes: 39 });
  small.results.keep(early("a"), 0);
  expect(small.fingerprints(0)).toEqual([]);
  const never = kept({ keepMs: 0 });
  never.results.keep(early("a"), 0);
  expect(never.fingerprints(0)).toEqual([]);
});

test("those of a worker that is not trusted any more go together, a used one alone", () => {
  const { results, fingerprints, forgotten } = kept({ keepBytes: 1_000 });
  for (const fingerprint of ["a", "b", "c"])
    results.keep(early(fingerprint, { workerId: fingerprint === "b" ? "w2" : "w1" }), 0);
  results.remove(results.of("c", 0)[0]!);
  results.removeAllOf("w1");
  expect(fingerprints(0)).toEqual(["b"]);
  expect(forgotten()).toBe(1);
});
