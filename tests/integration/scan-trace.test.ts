import { join } from "node:path";
import { expect, test } from "vitest";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import { readDefectRows } from "../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import { runScan } from "../../coordinator/search/scan.ts";
import type { TraceRecord } from "../../coordinator/search/scan-result.ts";
import { scanRows } from "../../coordinator/search/scan-rows.ts";
import { ScanSettings } from "../../coordinator/search/settings.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { killBusyWorker, startCluster } from "../support/cluster.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { demoData as data, randomModel } from "../support/random-model.ts";

const MAX_LEN = 96;

/** The lines of `trace.jsonl` of a small scan, as text: every id and every bit of every loss. */
async function traceOf(coordinator: Coordinator, model: string, onFirstStep?: () => void): Promise<string[]> {
  const tokenizer = loadTokenizer(data);
  const rows = readDefectRows(join(data, "clean_samples.jsonl"), { need: ["variables"] });
  const lines: string[] = [];
  await runScan({
    executor: coordinator.executor,
    input: {
      task: "defect_detection",
      checkpoint: await putCheckpoint(coordinator.executor, model, "defect_detection"),
      rows: scanRows(rows, tokenizer, MAX_LEN),
      classes: 1,
      vocabulary: triggerVocabulary(tokenizer),
      endId: tokenizer.ids.restored,
      textOf: (ids) => tokenizer.decode(ids),
    },
    settings: ScanSettings.parse({
      epochs: 3,
      samples: 8,
      repeatSize: 24,
      topk: 16,
      codeMaxLen: MAX_LEN,
      seed: 11,
    }),
    now: () => performance.now() / 1000,
    onTrace(record: TraceRecord) {
      lines.push(JSON.stringify(record));
      if (record.kind === "step" && record.step === 0) onFirstStep?.();
    },
  });
  return lines;
}

test("a scan has the same trace, bit for bit, on one and two workers, over streams and NATS, with a worker killed in the middle", async () => {
  const model = await randomModel();
  const alone = await startCluster(1);
  const expected = await traceOf(alone.coordinator, model);
  expect(expected.filter((line) => line.includes('"kind":"step"')).length).toBe(6); // two directions, three steps
  for (const nats of [undefined, await startNatsServer()]) {
    const { coordinator, processes } = await startCluster(2, nats?.url);
    let killed: Promise<void> | undefined;
    const trace = await traceOf(coordinator, model, () => {
      killed ??= killBusyWorker(coordinator, processes);
    });
    await killed;
    expect(killed).toBeDefined();
    expect(coordinator.workers().map(({ workerId }) => workerId)).toEqual(["w2"]);
    expect(trace).toEqual(expected);
    const metrics = await coordinator.metrics.registry.metrics();
    const overNats = Number(/results_total\{[^}]*path="nats"[^}]*\} (\d+)/.exec(metrics)?.[1] ?? 0);
    if (nats) expect(overNats).toBeGreaterThan(50);
  }
}, 180_000);
