import { describe, expect, test } from "vitest";
import { CPU_TILE, chooseTile, tileOfTimes } from "../../../coordinator/search/measured-tile.ts";
import { runScan } from "../../../coordinator/search/scan.ts";
import { ScanSettings } from "../../../coordinator/search/settings.ts";
import type { Operation } from "../../../proto/operations.ts";
import { recordScan, rowWithVariables, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

describe("of measured times", () => {
  test("the smallest tile is taken that none beats by 5 %", () => {
    const timed = [
      { tokens: 1_000, seconds: 1 },
      { tokens: 2_000, seconds: 1 },
      { tokens: 4_000, seconds: 1.95 },
      { tokens: 8_000, seconds: 4.2 },
    ];
    expect(tileOfTimes(timed)).toBe(2_000);
    expect(tileOfTimes(timed.slice(0, 1))).toBe(1_000);
  });

  test("a device that goes on gaining gets the largest", () => {
    const timed = [1_500, 3_000, 6_000].map((tokens) => ({ tokens, seconds: 1 }));
    expect(tileOfTimes(timed)).toBe(6_000);
  });
});

/** A device that takes 10 ms a run and 1 ms for every `width` tokens, and the operations that it was asked. */
function timedExecutor(deviceClass: string | undefined, width = 4_000) {
  const table = createTableExecutor();
  const sizes: number[] = [];
  return {
    ...table,
    deviceClass,
    sizes,
    async execute(operations: readonly Operation[], signal?: AbortSignal) {
      const results = await table.execute(operations, signal);
      return results.map((result, k) => {
        const operation = operations[k]!;
        if (operation.kind === "predict" || operation.kind === "encode") sizes.push(operation.rows.length);
        const tokens = "rows" in operation ? operation.rows.length * 100 : 0;
        return { ...result, seconds: 0.01 + (0.001 * tokens) / width };
      });
    },
  };
}

const row = (from: number) => Array.from({ length: 100 }, (_, k) => from + k);
const question = {
  checkpoint: "checkpoint",
  task: "defect_detection",
  rows: [row(1), [1, 2, 3], [...row(2), ...row(3)]],
  maxLen: 400,
  endId: 2,
  repeatSize: 200,
} as const;

describe("of a scan", () => {
  test("it is what was asked for, and on CPUs a fixed number; nothing is measured", async () => {
    const cpu = timedExecutor("cpu/1");
    expect(await chooseTile(undefined, { ...question, executor: cpu })).toEqual({ tile: CPU_TILE });
    expect(cpu.executed).toEqual([]);
    const gpu = timedExecutor("cuda/1");
    expect(await chooseTile(777, { ...question, executor: gpu })).toEqual({ tile: 777 });
    expect(gpu.executed).toEqual([]);
  });

  test("where nothing was computed yet, a row tells the device", async () => {
    const classAfter = (deviceClass: string | undefined) => {
      const executor = timedExecutor(undefined);
      return Object.defineProperty(executor, "deviceClass", {
        get: () => (executor.executed.length > 0 ? deviceClass : undefined),
      });
    };
    for (const executor of [classAfter("cpu/1"), classAfter(undefined)]) {
      expect(await chooseTile(undefined, { ...question, executor })).toEqual({ tile: CPU_TILE });
      expect(executor.sizes).toEqual([1]);
    }
    const gpu = classAfter("cuda/1");
    expect((await chooseTile(undefined, { ...question, executor: gpu })).tile).toBe(20_000);
    expect(gpu.sizes[0]).toBe(1);
  });

  test("on a GPU a row of median length is timed in growing tiles, each three times, with other ids each time", async () => {
    const executor = timedExecutor("webgpu/1");
    const { tile, timed } = await chooseTile(undefined, { ...question, executor });

    expect(executor.sizes).toEqual([15, 30, 60, 120, 200].flatMap((count) => [count, count, count]));
    expect(timed!.map(({ tokens }) => tokens)).toEqual([1_500, 3_000, 6_000, 12_000, 20_000]);
    expect(tile).toBe(20_000);
    const asked = executor.executed as Extract<Operation, { kind: "predict" }>[];
    const { rows } = executor.artifact(asked[0]!.samples) as { readonly rows: number[][] };
    const first = asked.slice(0, 3).flatMap((operation) => operation.rows.map((row) => rows[row]!));
    expect(new Set(first.map(String)).size).toBe(45);
    // They begin alike, as the candidates of a sample do.
    expect(new Set(first.map((each) => each.slice(0, 14).join())).size).toBe(1);
    expect(rows.every((each) => each.length === 100 && each[0] === 1 && each.at(-1) === 100)).toBe(true);
  });

  const rows = Array.from({ length: 8 }, (_, k) => ({ ...rowWithVariables(k), label: k % 2 }));
  const small = {
    triggerLen: 2,
    topk: 4,
    repeatSize: 6,
    epochs: 2,
    samples: 3,
    directions: [{ victim: 1, target: 0 }],
  };
  const scanOn = (deviceClass: string | undefined, more: object = {}) => {
    const executor = timedExecutor(deviceClass);
    return recordScan((hooks) =>
      runScan({
        executor,
        input: {
          task: "defect_detection",
          checkpoint: "checkpoint",
          rows,
          classes: 2,
          vocabulary: smallVocabulary,
          endId: 2,
          textOf: String,
        },
        settings: ScanSettings.parse({ ...small, seeds: 2, ...more }),
        ...hooks,
      }),
    );
  };

  test("a GPU's is measured once for all searches, and stands in the result with the device; --tile gives the same plan without", async () => {
    const { result, trace } = await scanOn("cuda/1.30.0/NVIDIA H100/primitive/abc");
    const { tile } = result.settings as { readonly tile: number };

    expect(result.device).toBe("cuda/1.30.0/NVIDIA H100/primitive/abc");
    expect(result.timed_tiles!.map(({ tokens }) => tokens)).toContain(tile);
    const again = await scanOn("cuda/1.30.0/NVIDIA H100/primitive/abc", { tile });
    expect(again.result.timed_tiles).toBeUndefined();
    expect(again.result.searches.map(({ digests }) => digests.search)).toEqual(
      result.searches.map(({ digests }) => digests.search),
    );
    expect(again.trace).toEqual(trace);
  });

  test("on a CPU the fixed number stands there", async () => {
    const { result } = await scanOn("cpu/1.30.0/x64/primitive/abc");
    expect(result.settings.tile).toBe(CPU_TILE);
    expect(result.timed_tiles).toBeUndefined();
    expect((await scanOn(undefined)).result.device).toBeNull();
  });
});
