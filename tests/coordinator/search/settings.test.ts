import { expect, test } from "vitest";
import {
  flagOf,
  PairScanSettings,
  pairSearchSettings,
  publishedCode,
  publishedPairCode,
  ScanSettings,
  searchSettings,
  yamlKeyOf,
} from "../../../coordinator/search/settings.ts";

test("defaults are the reference's", () => {
  expect(ScanSettings.parse({})).toMatchObject({
    triggerLen: 5,
    topk: 64,
    repeatSize: 64,
    epochs: 100,
    samples: 30,
    codeMaxLen: 400,
    beta: 0.15,
    seed: 123_456,
    scoreIndex: "own",
    loss: "float64",
    directions: "all",
    halves: ["first_half"],
  });
});

test("names become options and YAML keys", () => {
  expect(flagOf("scoreIndex")).toBe("score-index");
  expect(yamlKeyOf("codeMaxLen")).toBe("code_max_len");
});

test("defaults of code search are the reference's", () => {
  expect(PairScanSettings.parse({})).toMatchObject({
    ...{ triggerLen: 5, targetLen: 2, topk: 64, repeatSize: 64, epochs: 100, samples: 30 },
    ...{ codeMaxLen: 256, nlMaxLen: 128, beta: 0.01 },
  });
});

test("the published code's choices are valid settings", () => {
  expect(ScanSettings.parse(publishedCode)).toMatchObject({
    ...{ position: "published", scoreIndex: 10, loss: "published", gradient: "published" },
    anchoring: "published",
  });
  expect(PairScanSettings.parse(publishedPairCode)).toMatchObject({ scoreIndex: 10, gradient: "published" });
});

test("a search's settings are the scan's, with its own seed and nothing about other searches", () => {
  const own = searchSettings({ ...ScanSettings.parse({ topk: 7, halves: ["second_half"] }), tile: 300 }, 5);
  expect(own).toMatchObject({ topk: 7, seed: 5, tile: 300 });
  expect(own).not.toHaveProperty("halves");
  const pair = pairSearchSettings({ ...PairScanSettings.parse({ targetLen: 0 }), tile: 300 }, 6);
  expect(pair).toMatchObject({ targetLen: 0, seed: 6, tile: 300 });
  expect(pair).not.toHaveProperty("nlMaxLen");
});

test.each([
  { topk: 0 },
  { epochs: 1.5 },
  { scoreIndex: "here" },
  { seed: -1 },
  { halves: [] },
  { triggerLenght: 5 },
])("%o is refused", (settings) => {
  expect(ScanSettings.safeParse(settings).success).toBe(false);
});
