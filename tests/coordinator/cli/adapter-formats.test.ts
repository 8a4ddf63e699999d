import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openWholeModel } from "../../../coordinator/cli/open-model.ts";
import { writeModel } from "../../../coordinator/cli/write-model.ts";
import { elibadHere } from "../../support/command-line.ts";
import { relativeDifference } from "../../support/golden.ts";
import { adapter, base, logitsOf, recordedLogits, recordedRows } from "../../support/gpt-bigcode-layouts.ts";
import { hasShared } from "../../support/shared.ts";
import { adapterAs, storedAs } from "../../support/stored-tensors.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { writeStarcoderTokenizer } from "../../support/tiny-tokenizer.ts";

async function elibad(...words: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await elibadHere(...words, "--json", "--code-max-len", "40");
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

/** Logits of the adapter over a base, or of a model that stands alone. */
const logits = async (model: string, over?: string): Promise<number[]> =>
  logitsOf(await openWholeModel({ model, base: over, task: "defect_detection" }));

/** Rounding of the stored weights to 11 and 8 bits. */
const halves = [
  { dtype: "float16", rounding: 2e-3 },
  { dtype: "bfloat16", rounding: 2e-2 },
] as const;

describe.skipIf(!hasShared)("a LoRA adapter over a base in another container", () => {
  test.each(halves)(
    "of $dtype computes with the base's rounded values exactly",
    async ({ dtype, rounding }) => {
      const half = await storedAs(base, { dtype });
      const own = await logits(adapter, half);

      expect(own).toEqual(await logits(adapter, await storedAs(half, { dtype: "float32" })));
      const difference = relativeDifference(own, recordedLogits("base_with_adapter"));
      expect(difference).toBeLessThan(rounding);
      expect(difference).toBeGreaterThan(1e-5);
      expect(relativeDifference(own, recordedLogits("base"))).toBeGreaterThan(0.1);
    },
  );

  test.each(["float32", ...halves.map(({ dtype }) => dtype)] as const)(
    "in shards of %s is that over one file",
    async (dtype) => {
      const whole = await storedAs(base, { dtype });
      const sharded = await storedAs(base, { dtype, shards: 3 });

      expect(await logits(adapter, sharded)).toEqual(await logits(adapter, whole));
    },
  );

  test.each([
    // α ÷ √r with α 4 and r 4 is α ÷ r with α 8.
    { use_rslora: true, lora_alpha: 4 },
    { target_modules: ".*\\.c_attn" },
    { fan_in_fan_out: true },
    { use_dora: false, qalora_group_size: 16 },
  ])("with %j in its configuration is the same update", async (changes) => {
    expect(await logits(withConfig(changes), base)).toEqual(await logits(adapter, base));
  });

  test.each([
    { bias: "all" },
    { bias: "lora_only" },
    { use_dora: true },
    { target_modules: ["c_proj"] },
    { modules_to_save: ["score"] },
  ])("with %j in its configuration is refused by file and key", async (changes) => {
    const model = withConfig(changes);
    const [key] = Object.keys(changes);
    await expect(openWholeModel({ model, base, task: "defect_detection" })).rejects.toThrow(
      `${join(model, "adapter_config.json")}: ${key}: `,
    );
  });

  test("that is safetensors itself, and of a half type, has its rounded values", async () => {
    const file = "adapter_model.bin";
    const same = await adapterAs(adapter, { file, dtype: "float32" });
    expect(await logits(same, base)).toEqual(await logits(adapter, base));

    for (const { dtype, rounding } of halves) {
      const half = await adapterAs(adapter, { file, dtype });
      const difference = relativeDifference(await logits(half, base), recordedLogits("base_with_adapter"));
      expect(difference).toBeLessThan(rounding);
      expect(difference).toBeGreaterThan(1e-6);
    }
  });

  test.each(halves)("of $dtype answers predict's rows as PEFT does, within its rounding", async (half) => {
    const file = join(tempFolder(), "rows.jsonl");
    writeFileSync(
      file,
      recordedRows()
        .map((row) => JSON.stringify({ input_ids: row }))
        .join("\n"),
    );
    const over = await storedAs(base, { ...half, shards: 2 });
    const answers = await elibad("predict", "--model", adapter, "--base", over, "--ids", file);

    const own = (answers as { logits: number[] }[]).flatMap((answer) => answer.logits);
    expect(relativeDifference(own, recordedLogits("base_with_adapter"))).toBeLessThan(half.rounding);
  });

  test("of bfloat16 answers evaluate's rows as a float32 base of the same values", async () => {
    const half = await storedAs(base, { dtype: "bfloat16", shards: 2 });
    const whole = await storedAs(half, { dtype: "float32" });
    const samples = rowsOfCode();
    const reports: unknown[] = [];
    for (const over of [half, whole]) {
      writeStarcoderTokenizer(over, 300);
      reports.push(
        await elibad(
          ...["evaluate", "--model", adapter, "--base", over, "--samples", samples],
          ...["--trigger", "foo_init"],
        ),
      );
    }

    expect(reports[0]).toMatchObject({ acc: { n: 12 }, attack: { asr: { n: 6 } } });
    expect(reports[0]).toEqual(reports[1]);
  });

  test.each(halves.flatMap((half) => [1, 3].map((shards) => ({ ...half, shards }))))(
    "is merged into $shards files of $dtype within their rounding",
    async ({ dtype, rounding, shards }) => {
      const over = await storedAs(base, { dtype, shards });
      const given = { model: adapter, base: over, task: "defect_detection" } as const;
      const opened = await openWholeModel(given);
      const folder = tempFolder();
      await writeModel(opened, given, new Map(), { format: "merged", folder });
      const merged = await openWholeModel({ model: folder, task: "defect_detection" });

      expect(relativeDifference(await logitsOf(merged), await logitsOf(opened))).toBeLessThan(rounding);
      expect(relativeDifference(await logitsOf(merged), recordedLogits("base"))).toBeGreaterThan(0.1);
      expect(merged.checkpoint.sharded).toBe(shards > 1);
      expect([...merged.tensors.values()].every((entry) => entry.dtype === dtype)).toBe(true);
    },
  );
});

/** The adapter with other values in its configuration. */
function withConfig(changes: object): string {
  const folder = tempFolder();
  cpSync(adapter, folder, { recursive: true });
  const file = join(folder, "adapter_config.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...changes }));
  return folder;
}

/** Twelve functions with labels in turn. */
function rowsOfCode(): string {
  const samples = join(tempFolder(), "samples.jsonl");
  const rows = Array.from({ length: 12 }, (_, k) => ({
    code_tokens: ["int", `foo${k}`, "(", "int", "a", ")", "{", "return", "a", "+", String(k), ";", "}"],
    func_name: `foo${k}`,
    label: k % 2,
  }));
  writeFileSync(samples, rows.map((row) => JSON.stringify(row)).join("\n"));
  return samples;
}
