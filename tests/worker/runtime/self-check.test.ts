import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROGRAM_FORM } from "../../../worker/programs/version.ts";
import { operatorsElsewhere } from "../../../worker/runtime/placements.ts";
import { apart, requireNear, selfCheck } from "../../../worker/runtime/self-check.ts";
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

test("a value that is no number stays the largest difference, wherever it stands", () => {
  expect(apart([0.5, 0, 1], [0, 0, 1])).toBe(0.5);
  expect(apart([Number.NaN, 0, 1e-7], [0, 0, 0])).toBeNaN();
  expect(apart([1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
});

test("a device that is off is refused with the numbers, and so is one that gives no number", () => {
  const differences = [
    { what: "roberta score: logits", relative: 0.0123 },
    { what: "t5 gradient: gradient", relative: Number.NaN },
    { what: "t5 rank: values", relative: 1e-6 },
  ];
  const device = { provider: "webgpu", programForm: "primitive", tolerance: 5e-5 } as const;

  expect(() => requireNear(differences, device)).toThrow(
    "its results in the primitive form are off from the CPU's by more than 0.00005 of the largest value on webgpu: roberta score: logits by 0.012, t5 gradient: gradient by NaN",
  );
  expect(() => requireNear(differences.slice(2), device)).not.toThrow();
});

test("operators that went elsewhere are named once each, with where they went", async () => {
  const profile = join(tempFolder(), "profile.json");
  const node = (provider: string, op_name: string) => ({ cat: "Node", args: { provider, op_name } });
  const events = [
    node("WebGpuExecutionProvider", "MatMul"),
    node("CPUExecutionProvider", "Range"),
    node("CPUExecutionProvider", "Add"),
    node("CPUExecutionProvider", "Add"),
    { cat: "Session", args: {} },
  ];
  writeFileSync(profile, JSON.stringify(events));

  expect(await operatorsElsewhere(profile, "webgpu")).toEqual([
    "Add on CPUExecutionProvider",
    "Range on CPUExecutionProvider",
  ]);
});
