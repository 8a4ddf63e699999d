import { expect, test } from "vitest";
import {
  flagOf,
  publishedCode,
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

test("the published code's choices are valid settings", () => {
  expect(ScanSettings.parse(publishedCode)).toMatchObject({ scoreIndex: 10, loss: "published" });
});

test("a search's settings are the scan's, with its own seed and nothing about other searches", () => {
  const own = searchSettings(ScanSettings.parse({ topk: 7, halves: ["second_half"] }), 5);
  expect(own).toMatchObject({ topk: 7, seed: 5 });
  expect(own).not.toHaveProperty("halves");
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
