import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { PROGRAM_FORM } from "../../../worker/programs/version.ts";
import { selfCheck } from "../../../worker/runtime/self-check.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const onCpu = { provider: "cpu", programForm: PROGRAM_FORM, threads: 1 } as const;

test("the CPU gives what the CPU gives: every architecture, every tensor of every operation, nothing elsewhere", async () => {
  const folder = tempFolder();
  const { differences, elsewhere } = await selfCheck({ ...onCpu, tolerance: 0, folder });

  const named = differences.map(({ what }) => what);
  for (const model of ["roberta", "t5", "gpt_bigcode"]) {
    expect(named).toContain(`${model} score: logits`);
    expect(named).toContain(`${model} gradient: gradient`);
    expect(named).toContain(`${model} rank: values`);
    expect(named.filter((what) => what.startsWith(`${model} train-step`)).length).toBeGreaterThan(20);
  }
  expect(differences.every(({ relative }) => relative === 0)).toBe(true);
  expect(elsewhere).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
});
