import { join } from "node:path";
import { expect, test } from "vitest";
import { readSearchRows } from "../../../coordinator/data/search-rows.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../../coordinator/data/vocabulary.ts";
import { runPairScan } from "../../../coordinator/search/pair-scan.ts";
import { pairRows } from "../../../coordinator/search/scan-rows.ts";
import { PairScanSettings } from "../../../coordinator/search/settings.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test.skipIf(!hasShared)(
  "four steps on the backdoored code-search model find its trigger, which lifts code on rows that the search never saw",
  async () => {
    const model = sharedPath("golden", "trained", "search-codebert-backdoored");
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"));
    const settings = PairScanSettings.parse({ epochs: 4 });
    const result = await runPairScan({
      executor,
      input: {
        checkpoint: await putCheckpoint(executor, model, "code_search"),
        rows: pairRows(readSearchRows(join(model, "clean_samples.jsonl")), tokenizer, settings),
        vocabulary: triggerVocabulary(tokenizer),
        endId: tokenizer.ids.restored,
        textOf: (ids) => tokenizer.decode(ids),
      },
      settings,
      now: () => 0,
    });
    await executor.close();
    const [found] = result.searches;
    expect(found!.trigger!.text).toContain("rb"); // planted: never told to the search
    expect(found!.anchored!.text).toContain("rb");
    expect(found!.anr!.held_out).toMatchObject({ queries: 70, codes: 70, without_trigger: 0.5 });
    expect(found!.anr!.held_out.anr!).toBeLessThan(0.25);
  },
  600_000,
);
