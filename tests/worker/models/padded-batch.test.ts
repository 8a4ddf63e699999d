import { expect, test } from "vitest";
import { roberta } from "../../../worker/models/roberta/architecture.ts";
import { demoConfig } from "../../support/random-model.ts";

test("shorter rows are padded on the right, masked, and keep padding's position", () => {
  const { ids, positions, key_bias } = roberta.paddedFeeds(demoConfig, [
    [0, 7, 8, 2],
    [0, 2],
  ]);

  expect(ids).toEqual({ shape: [2, 4], data: Int32Array.of(0, 7, 8, 2, 0, 2, 1, 1) });
  expect([...positions!.data]).toEqual([2, 3, 4, 5, 2, 3, 1, 1]);
  expect(key_bias!.shape).toEqual([2, 1, 1, 4]);
  expect([...key_bias!.data].map((bias) => bias === 0)).toEqual([
    true,
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});
