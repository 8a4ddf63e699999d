import { expect, test } from "vitest";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import { readSearchRows } from "../../coordinator/data/search-rows.ts";
import { loadTokenizer } from "../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import { runPairScan } from "../../coordinator/search/pair-scan.ts";
import { pairRows } from "../../coordinator/search/scan-rows.ts";
import { PairScanSettings } from "../../coordinator/search/settings.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { counted, killBusyWorker, startCluster } from "../support/cluster.ts";
import { searchSamples } from "../support/demo-rows.ts";
import { demoData, randomModel } from "../support/random-model.ts";

const limits = { codeMaxLen: 96, nlMaxLen: 24 };

/** The lines of `trace.jsonl` of a small scan for trigger and target, as text: every id and every bit of every loss. */
async function traceOf(
  { executor }: Coordinator,
  model: string,
  onLine?: (lines: readonly string[]) => void,
): Promise<string[]> {
  const tokenizer = loadTokenizer(demoData);
  const lines: string[] = [];
  await runPairScan({
    executor,
    input: {
      checkpoint: await putCheckpoint(executor, model, "code_search"),
      rows: pairRows(readSearchRows(searchSamples(12)), tokenizer, limits),
      vocabulary: triggerVocabulary(tokenizer),
      endId: tokenizer.ids.restored,
      textOf: (ids) => tokenizer.decode(ids),
    },
    settings: PairScanSettings.parse({
      ...{ epochs: 3, samples: 8, repeatSize: 12, topk: 16, seeds: 2, seed: 11 },
      ...limits,
    }),
    now: () => performance.now() / 1000,
    onTrace(record) {
      lines.push(JSON.stringify(record));
      onLine?.(lines);
    },
  });
  return lines;
}

const stepsOf = (lines: readonly string[]): number =>
  lines.filter((line) => line.includes('"kind":"step"')).length;

test("a search for trigger and target has the same trace, bit for bit, on one worker and on two of which one is killed", {
  timeout: 600_000,
}, async () => {
  const model = await randomModel("code_search");
  const expected = await traceOf((await startCluster(1)).coordinator, model);
  expect(stepsOf(expected)).toBe(6); // two seeds, three steps

  const { coordinator, processes } = await startCluster(2);
  let kill: Promise<number> | undefined;
  const trace = await traceOf(coordinator, model, (lines) => {
    if (stepsOf(lines) > 0) kill ??= killBusyWorker(coordinator, processes);
  });
  expect(await kill).toBeGreaterThan(0);
  expect(await counted(coordinator, "leases_ended_total", { reason: "lost" })).toBe(await kill);
  expect(trace).toEqual(expected);
});
