import { expect, test } from "vitest";
import { insertIndex, type MaskedScore, type PositionOptions } from "../../../coordinator/search/position.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

const options: PositionOptions = {
  rule: "lowest",
  half: "first_half",
  maxLen: 40,
  triggerLen: 5,
  rowLength: 40,
  target: 1,
  sigmoid: true,
};
const variable = (name: string, word: number, subToken: number, score: number): MaskedScore => ({
  name,
  word,
  subToken,
  score,
});

test("the variable with the lowest score decides, ties to the first in the code", () => {
  const variables = [variable("a", 1, 3, 0.5), variable("b", 4, 9, 0.2), variable("c", 6, 12, 0.2)];
  expect(insertIndex(variables, options)).toEqual({ insertIndex: 9, variable: "b" });
});

test("the first half ends with the middle of the longest row, and index 0 lies outside", () => {
  const at = (index: number): number => insertIndex([variable("v", 0, index, 0.1)], options).insertIndex;
  expect([at(0), at(20), at(21)]).toEqual([1, 20, 1]);
});

test("the second half leaves room for the trigger", () => {
  const at = (index: number, rowLength = 40): number =>
    insertIndex([variable("v", 0, index, 0.1)], { ...options, half: "second_half", rowLength }).insertIndex;
  expect([at(20), at(21), at(34), at(35)]).toEqual([34, 21, 34, 34]);
  expect(at(3, 10)).toBe(9);
});

test("a variable outside the half does not take part", () => {
  const variables = [variable("far", 20, 30, 0.1), variable("near", 2, 4, 0.9)];
  expect(insertIndex(variables, options).variable).toBe("near");
});

test("without variables the trigger goes to index 1", () => {
  expect(insertIndex([], options)).toEqual({ insertIndex: 1 });
});

test("the published rule looks at all variables, by p(1) for a sigmoid head, and uses the word's index", () => {
  const variables = [variable("low", 2, 5, 0.1), variable("high", 3, 8, 0.9), variable("far", 30, 60, 0.95)];
  const published = (given: readonly MaskedScore[], changes: Partial<PositionOptions>): number =>
    insertIndex(given, { ...options, rule: "published", ...changes }).insertIndex;

  expect(published(variables.slice(0, 2), { target: 1 })).toBe(3);
  expect(published(variables.slice(0, 2), { target: 0 })).toBe(2);
  expect(published(variables.slice(0, 2), { target: 1, sigmoid: false })).toBe(2);
  expect(published(variables, { target: 1 })).toBe(1);
});

interface SampleRow {
  readonly ids: number[];
  readonly variables: { name: string; word: number; sub_token: number; target_probability: number }[];
  readonly chosen: string | null;
  readonly insert_index: number;
}

test.skipIf(!hasShared)("recorded probabilities give the recorded positions", () => {
  const { inversion } = readSharedJson<{ inversion: Record<string, { sample_rows: SampleRow[] }> }>(
    "golden",
    "trained",
    "defect-codebert-backdoored",
    "expected.json",
  );
  const rows = inversion["1->0"]!.sample_rows;
  expect(rows).toHaveLength(30);
  for (const row of rows) {
    const variables = row.variables.map(({ name, word, sub_token, target_probability }) => ({
      name,
      word,
      subToken: sub_token,
      score: target_probability,
    }));
    const asked = { ...options, maxLen: 400, target: 0, rowLength: row.ids.length };
    expect(insertIndex(variables, asked)).toEqual({
      insertIndex: row.insert_index,
      ...(row.chosen === null ? {} : { variable: row.chosen }),
    });
  }
});
