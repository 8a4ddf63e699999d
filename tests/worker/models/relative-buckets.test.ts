import { describe, expect, test } from "vitest";
import { relativeBucket } from "../../../worker/models/t5/buckets.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

interface Case {
  readonly relative_buckets: {
    readonly distance: readonly number[];
    readonly encoder: readonly number[];
    readonly decoder: readonly number[];
  };
}

const options = { buckets: 32, maxDistance: 128 };

describe.skipIf(!hasShared)("T5's buckets of distances", () => {
  test.each(["encoder", "decoder"] as const)("are transformers' in the %s", (stack) => {
    const { relative_buckets: golden } = readSharedJson<Case>(
      "golden",
      "tiny",
      "defect_detection-codet5",
      "case.json",
    );
    const directions = stack === "encoder" ? "both" : "past";

    const own = golden.distance.map((distance) => relativeBucket(distance, { ...options, directions }));

    expect(own).toEqual(golden[stack]);
  });
});

test("from the largest distance on all tokens share the last bucket of their direction", () => {
  expect([-128, -5_000].map((d) => relativeBucket(d, { ...options, directions: "both" }))).toEqual([15, 15]);
  expect([128, 5_000].map((d) => relativeBucket(d, { ...options, directions: "both" }))).toEqual([31, 31]);
  expect([-128, -5_000].map((d) => relativeBucket(d, { ...options, directions: "past" }))).toEqual([31, 31]);
});
