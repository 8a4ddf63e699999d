import { describe, expect, test } from "vitest";
import type { ChosenTile } from "../../../coordinator/search/measured-tile.ts";
import { runPairScan } from "../../../coordinator/search/pair-scan.ts";
import type { PairSearchState } from "../../../coordinator/search/pair-search.ts";
import type { Commits, Committed } from "../../../coordinator/search/planned-searches.ts";
import { runScan } from "../../../coordinator/search/scan.ts";
import type {
  ClassifierScanResult,
  PairScanResult,
  PairSearchResult,
  PairTraceRecord,
  SearchResult,
  TraceRecord,
} from "../../../coordinator/search/scan-result.ts";
import type { SearchState } from "../../../coordinator/search/search.ts";
import { PairScanSettings, ScanSettings } from "../../../coordinator/search/settings.ts";
import { rowWithVariables, smallVocabulary } from "../../support/small-search.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const rows = Array.from({ length: 16 }, (_, row) => ({
  ...rowWithVariables(row),
  label: row % 2,
  queryIds: [0, 50 + row, 2],
}));
const input = {
  checkpoint: "checkpoint",
  rows,
  vocabulary: smallVocabulary,
  endId: 2,
  textOf: (ids: readonly number[]) => ids.join("-"),
};
const small = { triggerLen: 3, topk: 8, repeatSize: 5, epochs: 3, samples: 4, codeMaxLen: 16 };

/** A scan without a clock. */
type Scan<State, Line, Result, Whole> = (
  hooks: Commits<State, Line, Result> & { readonly onTrace?: (line: Line) => void },
) => Promise<Whole>;

const scan =
  (
    settings: object = {},
    vocabulary = smallVocabulary,
  ): Scan<SearchState, TraceRecord, SearchResult, ClassifierScanResult> =>
  (hooks) =>
    runScan({
      executor: createTableExecutor(),
      input: { ...input, vocabulary, task: "defect_detection", classes: 1 },
      settings: ScanSettings.parse({ ...small, ...settings }),
      now: () => 0,
      ...hooks,
    });

const pairScan =
  (settings: object = {}): Scan<PairSearchState, PairTraceRecord, PairSearchResult, PairScanResult> =>
  (hooks) =>
    runPairScan({
      executor: createTableExecutor(),
      input,
      settings: PairScanSettings.parse({ ...small, seeds: 2, nlMaxLen: 10, ...settings }),
      now: () => 0,
      ...hooks,
    });

/** What survives a process: JSON, by search. */
class Kept<State, Line, Result> {
  readonly searches = new Map<number, Committed<State, Result>>();
  readonly lines = new Map<number, Line[]>();
  commits = 0;

  hooks(cutAfter = Number.POSITIVE_INFINITY): Commits<State, Line, Result> {
    const keep = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
    const count = (): void => {
      this.commits++;
      if (this.commits === cutAfter) throw new Error("cut");
    };
    return {
      resume: new Map(this.searches),
      onCommit: async (search, state, lines) => {
        if (this.commits >= cutAfter) throw new Error("the process is gone");
        this.searches.set(search, { state: keep(state) });
        this.lines.set(search, [...(this.lines.get(search) ?? []), ...keep(lines)]);
        count();
      },
      onResult: async (search, result) => {
        if (this.commits >= cutAfter) throw new Error("the process is gone");
        this.searches.set(search, { result: keep(result) });
        count();
      },
    };
  }

  get trace(): Line[] {
    return [...this.lines].sort(([a], [b]) => a - b).flatMap(([, lines]) => lines);
  }
}

async function expectSameWhereverCut<State, Line, Result, Whole extends { readonly searches: unknown }>(
  run: Scan<State, Line, Result, Whole>,
): Promise<void> {
  const whole: Line[] = [];
  const uncut = new Kept<State, Line, Result>();
  const calm = await run({ ...uncut.hooks(), onTrace: (line) => void whole.push(line) });
  const { commits } = uncut;
  expect(commits).toBeGreaterThanOrEqual(8);
  for (let cut = 1; cut <= commits; cut++) {
    const kept = new Kept<State, Line, Result>();
    await expect(run(kept.hooks(cut))).rejects.toThrow("cut");
    expect(kept.commits).toBe(cut);
    const again: Line[] = [];
    const before = kept.trace.length;
    const resumed = await run({ ...kept.hooks(), onTrace: (line) => void again.push(line) });
    expect(resumed).toEqual(calm);
    expect(JSON.stringify(kept.trace)).toBe(JSON.stringify(whole));
    // What an earlier run committed is not written a second time.
    expect(before + again.length).toBe(whole.length);
    expect(kept.commits).toBe(commits);
  }
}

describe("a scan that is cut after any commit and goes on from what was kept gives the same searches and the same trace", () => {
  // Two searches of three steps, each with a commit of its result.
  test.each([1, 2])("of a classifier, %i searches at a time", (searchesInFlight) =>
    expectSameWhereverCut(scan({ searchesInFlight })),
  );

  test.each([1, 2])("of a code-search model, %i searches at a time", (searchesInFlight) =>
    expectSameWhereverCut(pairScan({ searchesInFlight })),
  );

  test("where searches end by patience, after different numbers of steps", () =>
    expectSameWhereverCut(scan({ patience: 1, epochs: 5, searchesInFlight: 2 })));
});

test("a search that makes no step is committed with its first line", async () => {
  const committed: [number, number, readonly TraceRecord[]][] = [];
  const { searches } = await scan(
    { triggerLen: 1, topk: 1 },
    [5],
  )({
    onCommit: (search, { step }, lines) => void committed.push([search, step, lines]),
  });
  expect(searches.map(({ trigger }) => trigger)).toEqual([null, null]);
  expect(committed.map(([search, step, lines]) => [search, step, lines.map(({ kind }) => kind)])).toEqual([
    [0, 0, ["search"]],
    [1, 0, ["search"]],
  ]);
});

test("a state of other rows is refused, and so is a commit of a search that the scan has not", async () => {
  const states = new Map<number, Committed<SearchState, SearchResult>>();
  await scan()({ onCommit: (search, state) => void states.set(search, { state }) });
  await expect(scan({ topk: 9 })({ resume: states })).rejects.toThrow("the state belongs to search");
  const foreign = new Map([[7, states.get(0)!]]);
  await expect(scan()({ resume: foreign })).rejects.toThrow(
    "search 7 was committed, this scan has 2 searches",
  );
});

test("a tile that was measured is committed before the first step, and not measured again", async () => {
  const run = async (more: Parameters<ReturnType<typeof scan>>[0] & { tile?: ChosenTile }) => {
    const executor = createTableExecutor();
    const result = await runScan({
      executor: { ...executor, deviceClass: "cuda/1.30/a-gpu" },
      input: { ...input, task: "defect_detection", classes: 1 },
      settings: ScanSettings.parse(small),
      now: () => 0,
      ...more,
    });
    return { result, operations: executor.executed.length };
  };
  const happened: string[] = [];
  let tile: ChosenTile | undefined;
  const first = await run({
    onTile: (measured) => {
      tile = measured;
      happened.push("tile");
    },
    onCommit: () => void happened.push("step"),
  });
  expect(happened).toEqual(["tile", ...Array(6).fill("step")]);
  expect(tile!.timed).toHaveLength(1);
  const again = await run({ tile: tile!, onTile: () => void happened.push("measured again") });
  expect(again.result).toEqual(first.result);
  expect(again.operations).toBeLessThan(first.operations);
  expect(happened).not.toContain("measured again");
});
