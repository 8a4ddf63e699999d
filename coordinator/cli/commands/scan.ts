import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../../../proto/operations.ts";
import { runPairScan } from "../../search/pair-scan.ts";
import { runScan } from "../../search/scan.ts";
import type {
  ClassifierScanResult,
  PairScanResult,
  ScanProgress,
  ScanResult,
} from "../../search/scan-result.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import type { ClusterContext } from "../command.ts";
import { generalOptions, outOption, seedOption } from "../common-options.ts";
import { publishCheckpoint } from "../open-model.ts";
import type { OptionSpecs, Parsed } from "../options.ts";
import { openLineFile, requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type PreparedPairScan, type PreparedScan, preparePairScan, prepareScan } from "../scan-input.ts";
import { searchOptions, taskSearchOptions } from "../scan-options.ts";
import { scanListener } from "../scan-progress.ts";
import { scanTable } from "../show-scan.ts";
import { refuseForeignOptions, rowLimitsOf, taskModelOptions, taskSamplesOptions } from "../task-options.ts";

const options = {
  ...taskModelOptions,
  ...taskSamplesOptions,
  ...searchOptions,
  ...taskSearchOptions,
  ...outOption,
  ...seedOption,
  ...generalOptions,
} satisfies OptionSpecs;

type ScanOptions = Parsed<typeof options>;

export const scan = defineClusterCommand({
  name: "scan",
  summary: "invert triggers: find short token sequences that flip the model's answer",
  help: `
Searches, for every label direction, a trigger that makes the model answer the target label on rows of the victim label, and measures it on
rows that the search never saw. Of two functions (clone detection) the first one gets the trigger. In code search a trigger for the codes and a
target for the queries are searched together, which bring every query near to every code. Writes result.json (and trace.jsonl with --trace) into
--out. A scan reports what it found; clean models have invertible triggers too, so it gives no verdict.

  elibad scan --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --held-out test.jsonl --out scan-1
  elibad scan … --victim-label 1 --target-label 0 --directions one --epochs 25 --trace --out scan-2
  elibad scan --task clone_detection … --held-out data.jsonl --held-out-pairs test.txt --out scan-3
  elibad scan --task code_search … --target-len 2 --out scan-4`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    await inputOf(given);
  },
  async compute(given, context): Promise<ScanResult> {
    requireFreshFolder(given.out);
    let result: ScanResult | undefined;
    await writeFolderWhole(given.out, async (aside) => {
      const input = await inputOf(given);
      result =
        input.kind === "pairs"
          ? await scanPairsInto(given, input.prepared, context, aside)
          : await scanInto(given, input.prepared, context, aside);
    });
    return result!;
  },
  show: (result: ScanResult): string => scanTable(result),
});

type Input =
  | { readonly kind: "labels"; readonly prepared: PreparedScan }
  | { readonly kind: "pairs"; readonly prepared: PreparedPairScan };

async function inputOf(given: ScanOptions): Promise<Input> {
  refuseForeignOptions(given, options);
  const { task } = given;
  const limited = { ...given, ...rowLimitsOf(given) };
  return task === "code_search"
    ? { kind: "pairs", prepared: await preparePairScan(limited) }
    : { kind: "labels", prepared: await prepareScan({ ...limited, task }) };
}

/** Runs the searches and writes `result.json`, and `trace.jsonl` where asked for, into a folder. */
export const scanInto = (
  given: { readonly trace: boolean },
  prepared: PreparedScan,
  context: ClusterContext,
  folder: string,
): Promise<ClassifierScanResult> => {
  const { input, settings, replay } = prepared;
  return writeScan(given, prepared, context, folder, ({ checkpoint, ...rim }) =>
    runScan({ ...rim, input: { ...input, checkpoint }, settings, replay }),
  );
};

/** The same of a code-search model. */
export const scanPairsInto = (
  given: { readonly trace: boolean; readonly samples: string },
  prepared: PreparedPairScan,
  context: ClusterContext,
  folder: string,
): Promise<PairScanResult> => {
  const { input, settings, replay } = prepared;
  const bare = input.rows.slice(0, settings.samples).filter((row) => row.maskedVariants().length === 0);
  if (bare.length > 0)
    context.display.line(
      `${bare.length} samples of ${given.samples} name no variable of their code: the trigger goes to the first (second_half: last) place there`,
    );
  return writeScan(given, prepared, context, folder, ({ checkpoint, ...rim }) =>
    runPairScan({ ...rim, input: { ...input, checkpoint }, settings, replay }),
  );
};

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
  folder: string,
  scanWith: (rim: Rim) => Promise<R>,
): Promise<R> {
  const { executor, signal, answers } = context;
  const trace = given.trace ? openLineFile(join(folder, "trace.jsonl")) : undefined;
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
  writeFileSync(join(folder, "result.json"), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}
