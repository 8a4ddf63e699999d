import { describe, expect, test } from "vitest";
import { anchorPublished, eliminateTokens } from "../../../coordinator/search/anchoring.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

interface Anchoring {
  readonly trigger: number[];
  readonly loss_full: number;
  readonly loss_without: number[];
  readonly "kept_beta_0.15": { readonly signed: number[] };
  readonly "kept_beta_0.01": { readonly signed: number[] };
}

describe.skipIf(!hasShared)("published anchoring keeps the recorded tokens", () => {
  test.each(["defect_detection-codebert", "defect_detection-unixcoder", "clone_detection-codebert"])(
    "%s",
    (cell) => {
      const golden = readSharedJson<{ anchoring: Anchoring }>("golden", "tiny", cell, "case.json").anchoring;
      for (const beta of [0.15, 0.01] as const)
        expect(anchorPublished(golden.trigger, golden.loss_full, beta, golden.loss_without).ids).toEqual(
          golden[`kept_beta_${beta}`].signed,
        );
    },
  );
});

/** Loss 0.1 while the trigger holds id 7, else 3. */
const needsSeven = async (triggers: readonly (readonly number[])[]): Promise<number[]> =>
  triggers.map((ids) => (ids.includes(7) ? 0.1 : 3));

test("elimination keeps one of several copies of the token that matters; dropping each in turn keeps none", async () => {
  const trigger = [7, 4, 7, 5, 7];
  expect(await eliminateTokens(trigger, 0.1, 0.15, needsSeven)).toEqual({
    positions: [4],
    ids: [7],
    loss: 0.1,
  });
  const alone = await needsSeven(trigger.map((_, k) => trigger.toSpliced(k, 1)));
  expect(anchorPublished(trigger, 0.1, 0.15, alone).ids).toEqual([]);
});

test("elimination stops where every token is needed, and at one token", async () => {
  const byLength = async (triggers: readonly (readonly number[])[]): Promise<number[]> =>
    triggers.map((ids) => 1 / ids.length);
  expect((await eliminateTokens([1, 2, 3], 1 / 3, 0.1, byLength)).ids).toEqual([1, 2, 3]);
  expect((await eliminateTokens([1, 2, 3], 1 / 3, 9, byLength)).ids).toEqual([3]);
});

test("the allowed rise counts from the whole trigger's loss, not from step to step", async () => {
  const lossOfLength = [0, 0.4, 0.3, 0.2, 0.1];
  const rising = async (triggers: readonly (readonly number[])[]): Promise<number[]> =>
    triggers.map((ids) => lossOfLength[ids.length]!);
  expect((await eliminateTokens([1, 2, 3, 4], 0.1, 0.15, rising)).ids).toHaveLength(3);
});
