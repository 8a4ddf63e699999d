import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../../proto/operations.ts";
import { runPairScan } from "../search/pair-scan.ts";
import type { PairSearchState } from "../search/pair-search.ts";
import type { Commits } from "../search/planned-searches.ts";
import { runScan } from "../search/scan.ts";
import type {
  ClassifierScanResult,
  PairScanResult,
  PairSearchResult,
  PairTraceRecord,
  ScanProgress,
  ScanResult,
  SearchResult,
  TraceRecord,
} from "../search/scan-result.ts";
import type { SearchState } from "../search/search.ts";
import type { ClusterContext } from "./command.ts";
import { publishCheckpoint } from "./open-model.ts";
import { openLineFile } from "./output.ts";
import type { PreparedPairScan, PreparedScan } from "./scan-input.ts";
import { scanListener } from "./scan-progress.ts";

/** What lets a scan survive this process. */
export type ScanCommits = Commits<SearchState, TraceRecord, SearchResult>;
export type PairScanCommits = Commits<PairSearchState, PairTraceRecord, PairSearchResult>;
/** The same where the task is not known: states and results are of the task's own kind. */
export type AnyScanCommits = Commits<
  SearchState | PairSearchState,
  TraceRecord | PairTraceRecord,
  SearchResult | PairSearchResult
>;

/** Runs the searches and writes `result.json`, and `trace.jsonl` where asked for, into a folder, if there is one. */
export const scanInto = (
  given: { readonly trace: boolean },
  prepared: PreparedScan,
  context: ClusterContext,
  folder: string | undefined,
  commits: ScanCommits = {},
): Promise<ClassifierScanResult> => {
  const { input, settings, replay } = prepared;
  return writeScan(ownTrace(given, commits), prepared, context, folder, ({ checkpoint, ...rim }) =>
    runScan({ ...rim, ...commits, input: { ...input, checkpoint }, settings, replay }),
  );
};

/** The same of a code-search model. */
export const scanPairsInto = (
  given: { readonly trace: boolean; readonly samples: string },
  prepared: PreparedPairScan,
  context: ClusterContext,
  folder: string | undefined,
  commits: PairScanCommits = {},
): Promise<PairScanResult> => {
  const { input, settings, replay } = prepared;
  const bare = input.rows.slice(0, settings.samples).filter((row) => row.maskedVariants().length === 0);
  if (bare.length > 0)
    context.display.line(
      `${bare.length} samples of ${given.samples} name no variable of their code: the trigger goes to the first (second_half: last) place there`,
    );
  return writeScan(ownTrace(given, commits), prepared, context, folder, ({ checkpoint, ...rim }) =>
    runPairScan({ ...rim, ...commits, input: { ...input, checkpoint }, settings, replay }),
  );
};

/** Who commits steps has their lines of the trace, too. */
const ownTrace = ({ trace }: { readonly trace: boolean }, { onCommit }: { readonly onCommit?: unknown }) => ({
  trace: trace && onCommit === undefined,
});

/** What a scan of any task gets from the command. */
interface Rim {
  readonly executor: ClusterContext["executor"];
  readonly checkpoint: Digest;
  readonly signal: AbortSignal;
  readonly answers: ClusterContext["answers"];
  readonly now: () => number;
  readonly onProgress: (progress: ScanProgress) => void;
  readonly onTrace: (record: unknown) => void;
}

async function writeScan<R extends ScanResult>(
  given: { readonly trace: boolean },
  { opened, settings, input }: PreparedScan | PreparedPairScan,
  context: ClusterContext,
  folder: string | undefined,
  scanWith: (rim: Rim) => Promise<R>,
): Promise<R> {
  const { executor, signal, answers } = context;
  const trace = folder !== undefined && given.trace ? openLineFile(join(folder, "trace.jsonl")) : undefined;
  const checkpoint = await publishCheckpoint(executor, opened);
  const listener = scanListener(context, { epochs: settings.epochs, textOf: input.textOf });
  let result: R;
  try {
    result = await scanWith({
      executor,
      checkpoint,
      signal,
      answers,
      now: () => performance.now() / 1000,
      onProgress: (progress) => listener.observe(progress),
      onTrace: (record) => trace?.write(record),
    });
  } catch (error) {
    trace?.discard();
    throw error;
  } finally {
    listener.close();
  }
  await trace?.commit();
  if (folder !== undefined)
    writeFileSync(join(folder, "result.json"), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}
