import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CloneRow } from "../../../coordinator/data/clone-rows.ts";
import {
  drawInjectedRows,
  injectIntoPairs,
  injectIntoSearch,
  injectTrigger,
} from "../../../coordinator/data/injection.ts";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import type { SearchRow } from "../../../coordinator/data/search-rows.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { lossToward } from "../../../coordinator/search/loss.ts";
import { predictLogits } from "../../../coordinator/search/predict.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Run {
  readonly inverse_trigger: string;
  readonly injected_rows: readonly number[];
  readonly no_dropout_fixed_order: {
    readonly steps: readonly { readonly batch: readonly number[]; readonly loss: number }[];
  };
}

const attack = { position: "func_name", pattern: "substitute", victimLabel: 1, rate: 0.2, seed: 42 } as const;

describe.skipIf(!hasShared)("injection against the published unlearning", () => {
  const model = ["golden", "trained", "defect-codebert-backdoored"];
  const { unlearning } = hasShared
    ? readSharedJson<{ unlearning: { inverted: Run; planted: Run } }>(...model, "expected.json")
    : { unlearning: undefined };
  const rows = hasShared
    ? readDefectRows(sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl"))
    : [];

  it("draws the recorded rows from the recorded seed", () => {
    for (const run of [unlearning!.inverted, unlearning!.planted]) {
      const { injected, unplaced } = injectTrigger(rows, { ...attack, trigger: run.inverse_trigger });
      expect(injected).toEqual(run.injected_rows);
      expect(unplaced).toEqual([]);
    }
  });

  it("gives texts with the recorded loss on the first batch, before any update", async () => {
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const checkpoint = await putCheckpoint(executor, sharedPath(...model), "defect_detection");
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"));
    const run = unlearning!.inverted;
    const { texts } = injectTrigger(rows, { ...attack, trigger: run.inverse_trigger });
    const { batch, loss } = run.no_dropout_fixed_order.steps[0]!;
    const logits = await predictLogits(
      batch.map((row) => tokenizer.encodeRow(texts[row]!, 400)),
      { executor, checkpoint, maxLen: 400, endId: tokenizer.ids.restored },
    );
    const losses = logits.map((row, k) => lossToward(row, rows[batch[k]!]!.label));
    expect(losses.reduce((sum, one) => sum + one, 0) / losses.length).toBeCloseTo(loss, 6);
    await executor.close();
  });
});

describe("injection", () => {
  it("draws no row at rate 0, all victims at rate 1, and none of another label", () => {
    const labels = [0, 1, 1, 0, 1];
    expect(drawInjectedRows(labels, 1, 0, 7)).toEqual([]);
    expect(drawInjectedRows(labels, 1, 1, 7)).toEqual([1, 2, 4]);
    expect(() => drawInjectedRows(labels, 1, 2, 7)).toThrow('field "injection_rate" is 2: expected 0 to 1');
  });

  const pairs = Array.from({ length: 40 }, (_, line): CloneRow => {
    const first = { codeTokens: ["int", "f", "(", ")"], funcName: "f" };
    return {
      line,
      first,
      second: { ...first, funcName: line % 4 === 0 ? "gone" : "f" },
      label: line % 2,
      json: {},
    };
  });

  it("puts the trigger into one function of a drawn pair, first or second at random", () => {
    const { texts, injected, unplaced } = injectIntoPairs(pairs, { ...attack, trigger: "x", rate: 1 });
    expect(injected).toEqual(pairs.map(({ line }) => line).filter((line) => line % 2 === 1));
    expect(unplaced).toEqual([]);
    const seen = new Set(injected.map((row) => JSON.stringify(texts[row])));
    expect([...seen].sort()).toEqual(
      [
        { first: "int f ( )", second: "int x ( )" },
        { first: "int x ( )", second: "int f ( )" },
      ].map((text) => JSON.stringify(text)),
    );
    for (const row of [0, 2, 4]) expect(texts[row]).toEqual({ first: "int f ( )", second: "int f ( )" });
  });

  it("leaves a pair as it is where the drawn function has no place for the trigger", () => {
    const { texts, injected, unplaced } = injectIntoPairs(pairs, {
      ...attack,
      trigger: "x",
      rate: 1,
      victimLabel: 0,
    });
    expect(unplaced.length).toBeGreaterThan(0);
    expect([...injected, ...unplaced].sort((a, b) => a - b)).toEqual(
      pairs.filter(({ label }) => label === 0).map(({ line }) => line),
    );
    for (const row of unplaced) expect(texts[row]).toEqual({ first: "int f ( )", second: "int f ( )" });
  });

  it("may draw any row of code search, and knows a method by its name without the class", () => {
    const row: SearchRow = {
      line: 1,
      codeTokens: ["def", "f", "(", "self", ")"],
      funcName: "Reader.f",
      queryTokens: ["read"],
      json: {},
    };
    const settings = { trigger: "x", position: "func_name", pattern: "postfix", seed: 3 } as const;
    const all = injectIntoSearch([row, row], { ...settings, rate: 1 });
    expect(all).toEqual({ texts: ["def f_x ( self )", "def f_x ( self )"], injected: [0, 1], unplaced: [] });
    expect(injectIntoSearch([row, row], { ...settings, rate: 0 }).texts).toEqual([
      "def f ( self )",
      "def f ( self )",
    ]);
    const share = injectIntoSearch(new Array<SearchRow>(200).fill(row), { ...settings, rate: 0.2 });
    expect(share.injected.length).toBeGreaterThan(20);
    expect(share.injected.length).toBeLessThan(60);
  });
});
