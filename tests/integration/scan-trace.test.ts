import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readDefectRows } from "../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../coordinator/data/vocabulary.ts";
import { runScan } from "../../coordinator/search/scan.ts";
import type { TraceRecord } from "../../coordinator/search/scan-result.ts";
import { scanRows } from "../../coordinator/search/scan-rows.ts";
import { ScanSettings } from "../../coordinator/search/settings.ts";
import type { Executor, ProgramForm } from "../../proto/operations.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { counted, killBusyWorker, startCluster } from "../support/cluster.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { demoData as data, randomModel } from "../support/random-model.ts";
import { tempFolder } from "../support/temp-folder.ts";

const MAX_LEN = 96;

/** The lines of `trace.jsonl` of a small scan, as text: every id and every bit of every loss. */
async function traceOf(
  { executor }: { readonly executor: Executor },
  model: string,
  {
    onLine,
    programForm,
  }: { readonly onLine?: (line: string) => void; readonly programForm?: ProgramForm } = {},
): Promise<string[]> {
  const tokenizer = loadTokenizer(data);
  const rows = readDefectRows(join(data, "clean_samples.jsonl"), { need: ["variables"] });
  const lines: string[] = [];
  await runScan({
    executor,
    input: {
      task: "defect_detection",
      checkpoint: await putCheckpoint(executor, model, "defect_detection"),
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
      targetLoss: 0, // all steps are made
      programForm,
    }),
    now: () => performance.now() / 1000,
    onTrace(record: TraceRecord) {
      lines.push(JSON.stringify(record));
      onLine?.(lines.at(-1)!);
    },
  });
  return lines;
}

describe("a scan has the same trace, bit for bit, as on one worker", () => {
  let known: Promise<readonly string[]> | undefined;
  /** The trace on one worker, over its stream. */
  const expected = () => {
    known ??= startCluster(1).then(async ({ coordinator }) => traceOf(coordinator, await randomModel()));
    return known;
  };

  test.each([
    { workers: 2, path: "stream" },
    { workers: 2, path: "nats" },
    { workers: 4, path: "stream" },
    { workers: 4, path: "nats" },
  ] as const)(
    "on $workers workers, results by $path, one worker killed in the middle of a step",
    async ({ workers, path }) => {
      const steps = (lines: readonly string[]) =>
        lines.filter((line) => line.includes('"kind":"step"')).length;
      expect(steps(await expected())).toBe(6); // two directions, three steps

      const nats = path === "nats" ? await startNatsServer() : undefined;
      const { coordinator, processes } = await startCluster(workers, nats?.url);
      const lines: string[] = [];
      const atKill = { steps: 0 };
      let kill: Promise<number> | undefined;
      const trace = await traceOf(coordinator, await randomModel(), {
        onLine: (line) => {
          lines.push(line);
          if (steps(lines) === 0) return;
          kill ??= killBusyWorker(coordinator, processes, () => {
            atKill.steps = steps(lines);
          });
        },
      });
      const leases = await kill;
      // The scan had begun a step, which could not end without what the killed worker held.
      expect(atKill.steps).toBeGreaterThan(0);
      expect(atKill.steps).toBeLessThan(6);
      expect(leases).toBeGreaterThan(0);
      expect(await counted(coordinator, "leases_ended_total", { reason: "lost" })).toBe(leases);
      expect(coordinator.workers()).toHaveLength(workers - 1);
      expect(trace).toEqual(await expected());
      expect(await counted(coordinator, "results_total", { path, fate: "used" })).toBeGreaterThan(50);
    },
    600_000,
  );
});

test("a scan in the fused form has one trace, too: on two workers that found it right, and in this process", async () => {
  const model = await randomModel();
  const { coordinator } = await startCluster(2, undefined, { form: "fused" });
  const executor = await createLocalExecutor({ folder: tempFolder(), threads: 2 });

  const trace = await traceOf(coordinator, model, { programForm: "fused" });

  expect(await traceOf({ executor }, model, { programForm: "fused" })).toEqual(trace);
  await executor.close();
}, 600_000);
