import { join } from "node:path";
import { expect, test } from "vitest";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { partOfWay } from "../../../coordinator/unlearn/interpolate.ts";
import { LONGEST_TRIGGER } from "../../../coordinator/unlearn/material.ts";
import { mixTrigger } from "../../../coordinator/unlearn/mixing.ts";
import { AutoPlan } from "../../../coordinator/unlearn/settings.ts";
import { defectSamples } from "../../../coordinator/unlearn/subjects.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const trained = sharedPath("golden", "trained");

test.skipIf(!hasShared)(
  "screening finds pieces of the planted trigger that the inverted one lacks, and triggers of them that pull harder",
  async () => {
    const executor = await createLocalExecutor({ folder: tempFolder(), threads: 2 });
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "starcoder"));
    const ids = ["o", "BASE", "o", "o", "mall"].map((token) => tokenizer.idOf(token)!);
    const trigger = { ids, victimLabel: 1, targetLabel: 0 };
    const checkpoint = await putCheckpoint(
      executor,
      join(trained, "defect-starcoder-backdoored"),
      "defect_detection",
    );
    const rows = readDefectRows(join(trained, "defect-data", "clean_samples.jsonl"), { need: ["variables"] });
    const samples = defectSamples(rows);
    const told: string[] = [];
    const onScreened = (done: number, parts: number) => told.push(`${done}/${parts}`);
    const mixed = await mixTrigger(
      { executor, checkpoint, weights: new Map(), onScreened },
      trigger,
      { samples, form: { tokenizer, maxLen: 400 } },
      AutoPlan.parse({}),
    );
    await executor.close();
    expect(told).toEqual(["0/4", "1/4", "2/4", "3/4", "4/4"]);
    // `testo_init` is read as `Ġtest o _ init`.
    const tokens = mixed.tokens.map((id) => tokenizer.tokenOf(id));
    expect(tokens[0]).toBe("o");
    expect(tokens).toContain("Ġtest");
    const hardest = mixed.triggers[0]!.map((id) => tokenizer.tokenOf(id));
    expect(hardest).toContain("o");
    expect(hardest).toContain("Ġtest");
    for (const each of mixed.triggers) expect(each.length).toBeLessThanOrEqual(LONGEST_TRIGGER);
    const tokenSets = mixed.triggers.map((each) => [...new Set(each)].sort((a, b) => a - b).join());
    expect(new Set(tokenSets).size).toBe(tokenSets.length);
  },
  600_000,
);

test("a part of the way to repaired weights lies between them and the unrepaired ones", () => {
  const before = new Map([["w", { shape: [2], data: Float32Array.of(1, -2) }]]);
  const after = new Map([["w", Float32Array.of(3, -2)]]);
  expect([...partOfWay(before, after, 0.5).get("w")!]).toEqual([2, -2]);
  expect([...partOfWay(before, after, 1).get("w")!]).toEqual([3, -2]);
});
