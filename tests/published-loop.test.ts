import { describe, expect, test } from "vitest";
import { preparePairSearch } from "../coordinator/search/pair-problem.ts";
import { runPairSearch } from "../coordinator/search/pair-search.ts";
import { prepareSearch } from "../coordinator/search/problem.ts";
import { runSearch } from "../coordinator/search/search.ts";
import { PairSearchSettings, SearchSettings } from "../coordinator/search/settings.ts";
import { largestDifference } from "./bench/agreement.ts";
import { FORMS, openOpponent } from "./bench/opponent.ts";
import { openPairs, pairStepInTorch } from "./bench/pair-opponent.ts";
import { startTorch, type TorchProcess } from "./bench/torch-process.ts";
import { loadArrays } from "./support/golden.ts";
import { openCell } from "./support/golden-cell.ts";
import { hasTorch, NO_PYTHON, python } from "./support/python.ts";
import { openSearchCell } from "./support/search-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "./support/shared.ts";
import { tempFolder } from "./support/temp-folder.ts";

/** One cell of each architecture, one of them with pairs; two recorded steps of each. */
const cells = ["defect_detection-codebert", "clone_detection-codet5", "defect_detection-starcoder"];
const STEPS = 2;

/** Steps of a golden cell on elibad's engine, each again in PyTorch. Rejects where winners, losses or ranks differ. */
async function compareSteps(torch: TorchProcess, cell: string): Promise<number> {
  const { golden, folder, executor, checkpoint } = await openCell(cell);
  const { input_ids, lengths, lengths_second, target_label } = golden.inputs;
  const { block, ids, task } = golden.cell;
  const second = lengths_second && {
    secondRows: input_ids.map((row, k) => row.slice(block, block + lengths_second[k]!)),
  };
  const prepared = await prepareSearch(
    executor,
    {
      checkpoint,
      rows: input_ids.map((row, k) => row.slice(0, lengths[k])),
      ...second,
      insertIndexes: golden.trigger.insert_index,
      maxLen: block,
      endId: ids.eos_restored,
      vocabulary: golden.gradient.vocab,
      target: target_label,
    },
    SearchSettings.parse({ topk: 8, repeatSize: 16 }),
  );
  const trigger = golden.trigger.ids;
  const opponent = await openOpponent(torch, { folder, task }, { executor, prepared, trigger });
  let compared = 0;
  await runSearch({
    executor,
    prepared,
    replay: golden.steps.slice(0, STEPS),
    onStep: async (record) => {
      for (const form of FORMS) {
        const { agreement, time } = await opponent.step(record, form);
        expect(agreement).toMatchObject({ tie: false, ranked: 1 });
        expect(time.ranking.wall).toBeGreaterThan(0);
        compared++;
      }
    },
  });
  await executor.close();
  return compared;
}

async function comparePairs(torch: TorchProcess, cell: string): Promise<number> {
  const { golden, folder, executor, checkpoint, sets } = await openSearchCell(cell);
  const problem = { checkpoint, ...sets, vocabulary: golden.gradient.vocab };
  const settings = PairSearchSettings.parse({ topk: 8, repeatSize: 6 });
  const prepared = await preparePairSearch(executor, problem, settings);
  await openPairs(torch, { folder, task: "code_search" }, problem, settings);
  let compared = 0;
  await runPairSearch({
    executor,
    prepared,
    replay: golden.steps
      .slice(0, STEPS)
      .map((step) => ({ ...step, targetCandidates: step.target_candidates })),
    onStep: async (record) => {
      const { agreement } = await pairStepInTorch(torch, record);
      expect(agreement).toMatchObject({ tie: false, ranked: 1 });
      compared++;
    },
  });
  await executor.close();
  return compared;
}

interface UnlearningCase {
  readonly cell: { readonly block: number };
  readonly inputs: { readonly input_ids: number[][]; readonly lengths: number[]; readonly labels: number[] };
  readonly unlearning: {
    readonly runs: readonly {
      readonly weight_decay: number;
      readonly steps: readonly { readonly samples: number[]; readonly learning_rate: number }[];
      readonly final: Readonly<Record<string, { readonly $array: string }>>;
    }[];
  };
}

/** The head's weights after the recorded steps, beside the recorded ones: the largest difference, of the largest of a tensor. */
async function compareUnlearning(torch: TorchProcess, cell: string): Promise<number> {
  const { unlearning, inputs, ...golden } = readSharedJson<UnlearningCase>(
    "golden",
    "tiny",
    cell,
    "case.json",
  );
  const run = unlearning.runs.find(({ weight_decay }) => weight_decay === 0)!;
  const recorded = await loadArrays("golden", "tiny", cell, "arrays.safetensors");
  await torch.open({ folder: sharedPath("golden", "tiny", cell), task: "defect_detection" }, "unlearning", {
    rows: inputs.input_ids.map((row, k) => row.slice(0, inputs.lengths[k])),
    labels: inputs.labels,
    max_len: golden.cell.block,
  });
  const { weights } = await torch.call<{ weights: Record<string, number[]> }>("train", {
    batches: run.steps.map(({ samples }) => samples),
    rates: run.steps.map(({ learning_rate }) => learning_rate),
    clip: 1,
    loop: "published",
  });
  return Math.max(
    ...Object.entries(run.final).map(([name, { $array }]) =>
      largestDifference(recorded.get($array)!.data, weights[name] ?? []),
    ),
  );
}

describe("the published loop of the bench, in PyTorch", () => {
  test.skipIf(!hasShared)(
    "finds elibad's winners, losses and ranks on the golden models, in each of its forms; without PyTorch the bench says what is missing",
    async ({ skip, annotate }) => {
      skip(python === undefined, NO_PYTHON);
      const start = () => startTorch(python!, { threads: 1, folder: tempFolder() });
      if (!hasTorch()) {
        await annotate("without PyTorch");
        await expect(start()).rejects.toThrow(/--torch '.*' ended:[\s\S]*No module named 'torch'/);
        return;
      }
      const torch = await start();
      await annotate(torch.about);
      try {
        for (const cell of cells) expect(await compareSteps(torch, cell), cell).toBe(STEPS * FORMS.length);
        expect(await comparePairs(torch, "code_search-codebert")).toBe(STEPS);
        expect(await compareUnlearning(torch, "defect_detection-codebert")).toBeLessThan(2e-5);
        await expect(torch.call("nothing")).rejects.toThrow("published_loop.py: AttributeError");
      } finally {
        torch.close();
      }
    },
    300_000,
  );

  test("a command that is no program is an error that names it", async () => {
    const none = startTorch("no-such-python", { threads: 1, folder: tempFolder() });
    await expect(none).rejects.toThrow("--torch 'no-such-python': ");
  });
});
