import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { elibadHere } from "../../support/command-line.ts";
import { NO_PYTHON, python } from "../../support/python.ts";
import { demoData, randomModel } from "../../support/random-model.ts";
import { hasShared, readSharedJsonl, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { outlineHere, outlinesInPython } from "../../support/torch-outline.ts";

/** Unlearns a trigger with all weights and compares what Python reads in `model.bin` before and after. Answers by which readers. */
async function expectPythonReadsTheRepaired(model: string, ...words: string[]): Promise<string> {
  const out = join(tempFolder(), "repaired");
  const { code, stderr } = await elibadHere(
    ...["unlearn", "--model", model, ...words, "--trigger", "ooendendo"],
    ...["--plan", "published", "--trainable", "all", "--out", out],
  );
  expect(code, stderr).toBe(0);

  const [before, after] = [model, out].map((folder) => outlinesInPython(join(folder, "model.bin")));
  const here = await outlineHere(await openCheckpoint(out));
  for (const [reader, repaired] of after!) {
    const original = before!.get(reader)!;
    const form = (tensors: typeof repaired) => tensors.map(({ sha256, ...rest }) => rest);
    expect(form(repaired), reader).toEqual(form(original));
    expect(repaired, reader).toEqual(here);
    const values = new Map(original.map(({ name, sha256 }) => [name, sha256]));
    const same = repaired.filter(({ name, sha256 }) => values.get(name) === sha256).map(({ name }) => name);
    expect(same, reader).toEqual(["encoder.pooler.dense.weight", "encoder.pooler.dense.bias"]);
  }
  return `read by ${[...after!.keys()].join(" and ")}`;
}

describe("Python reads the same keys, shapes and dtypes in an unlearned RoBERTa's model.bin as in its source, and elibad's values", () => {
  test("where elibad wrote the source", async ({ skip, annotate }) => {
    skip(python === undefined, NO_PYTHON);
    const samples = join(demoData, "clean_samples.jsonl");
    const words = ["--samples", samples, "--code-max-len", "64"];
    await annotate(await expectPythonReadsTheRepaired(await randomModel(), ...words));
  });

  test.skipIf(!hasShared)(
    "where PyTorch wrote the source",
    async ({ skip, annotate }) => {
      skip(python === undefined, NO_PYTHON);
      const rows = readSharedJsonl<{ label: number }>(
        "golden",
        "trained",
        "defect-data",
        "clean_samples.jsonl",
      );
      const few = [0, 1].flatMap((label) => rows.filter((row) => row.label === label).slice(0, 8));
      const samples = join(tempFolder(), "samples.jsonl");
      writeFileSync(samples, few.map((row) => `${JSON.stringify(row)}\n`).join(""));
      const words = [
        ...["--base", sharedPath("data", "tokenizers", "roberta-base"), "--samples", samples],
        ...["--code-max-len", "128", "--batch-size", "8"],
      ];
      const model = sharedPath("golden", "trained", "defect-codebert-backdoored");
      await annotate(await expectPythonReadsTheRepaired(model, ...words));
    },
    600_000,
  );
});
