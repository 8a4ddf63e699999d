import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import {
  cleanSamplePairs,
  cleanSampleRows,
  labelOfRow,
  oneLabel,
} from "../../data/preprocess/clean-sample-rows.ts";
import { type CommandContext, defineCommand } from "../command.ts";
import { InputError } from "../errors.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { functionSource } from "../preprocess-inputs.ts";
import { type PreprocessOptions, preprocessOptions } from "../preprocess-options.ts";
import { KnownFunctions, type PairCounts, writePairs } from "../preprocess-pairs.ts";
import { type RowCounts, writeRows } from "../preprocess-rows.ts";
import { readSplits, splitFiles } from "../preprocess-splits.ts";

/** What `preprocess.json` says. */
interface PreprocessReport extends Partial<RowCounts> {
  readonly task: string;
  readonly source: string;
  /** Ids of index files that no function had, by split. */
  readonly absent?: Readonly<Record<string, number>>;
  /** Clone detection: pairs, by file. */
  readonly pairs?: Readonly<Record<string, PairCounts>>;
  /** Rows of `clean_samples.jsonl`. */
  readonly clean_samples?: number;
  readonly seconds: number;
}

export const preprocess = defineCommand({
  name: "preprocess",
  summary: "turn source code and published data sets into rows: tokens, variables, function name",
  help: `
Reads functions in C, C++, Java or Python and writes what the other commands read, with the tokens, names and fields that the published
preprocessing gives: data.jsonl, or train.jsonl, valid.jsonl and test.jsonl where index files name the splits. For clones the pair files
stand beside data.jsonl, without pairs of functions that have no row. A function that cannot be read is kept out, counted by its reason,
and listed in kept_out.jsonl. preprocess.json has all counts.

  elibad preprocess --data-json-path function.json --train-txt-path train.txt --test-txt-path test.txt --output-clean-samples --out devign/
  elibad preprocess --task clone_detection --data-jsonl-path data.jsonl --train-txt-path train.txt --output-clean-samples --out bcb/
  elibad preprocess --task code_search --data-jsonl-path python_train_0.jsonl.gz,python_train_1.jsonl.gz --out csn/
  elibad preprocess --source-path src/,main.c --label 0 --out mine/

Clean samples come from rows that are ready, too, in any number:

  elibad preprocess --only-output-clean-samples --clean-sample-data-input-path devign/train.jsonl --clean-sample-ratio 50 --out clean/`,
  options: preprocessOptions,
  async run(options, context): Promise<PreprocessReport> {
    requireFreshFolder(options.out);
    requireCleanSamples(options);
    const started = performance.now();
    let report: PreprocessReport | undefined;
    await writeFolderWhole(options.out, async (aside) => {
      const counts = options.onlyOutputCleanSamples
        ? await onlyCleanSamples(aside, options)
        : await preprocessInto(aside, options, context);
      report = { task: options.task, ...counts, seconds: (performance.now() - started) / 1000 };
      writeFileSync(join(aside, "preprocess.json"), `${JSON.stringify(report, null, 2)}\n`);
    });
    return report!;
  },
  show: (report: PreprocessReport): string => {
    const keptOut = Object.entries(report.kept_out ?? {});
    return [
      ...Object.entries(report.rows ?? {}).map(([file, rows]) => `${file}: ${rows} rows`),
      ...Object.entries(report.pairs ?? {}).map(
        ([file, { written, kept_out }]) => `${file}: ${written} pairs, ${kept_out} kept out`,
      ),
      ...(report.clean_samples === undefined ? [] : [`clean_samples.jsonl: ${report.clean_samples} rows`]),
      ...keptOut.map(([reason, count]) => `kept out: ${count} × ${reason}`),
      ...(report.in_no_split ? [`in no index file: ${report.in_no_split} functions`] : []),
      ...Object.entries(report.absent ?? {})
        .filter(([, ids]) => ids > 0)
        .map(([split, ids]) => `not in ${report.source}: ${ids} ids of the ${split} split`),
    ].join("\n");
  },
});

type Counts = Omit<PreprocessReport, "task" | "seconds">;

async function preprocessInto(
  folder: string,
  options: PreprocessOptions,
  context: CommandContext,
): Promise<Counts> {
  const source = functionSource(options);
  const isClones = options.task === "clone_detection";
  const files = splitFiles(options);
  const splits = isClones || files.size === 0 ? undefined : await readSplits(files);
  const known = new KnownFunctions();
  const counts = await writeRows(
    folder,
    {
      source,
      ...(splits ? { splitOf: splits.splitOf } : {}),
      dropSyntaxErrors: options.syntaxErrors === "drop",
      threads: options.workers ?? availableParallelism(),
      onFunction: ({ source: { before, place } }, isKept) => {
        if (isClones) known.add(String(before.idx), isKept, place);
      },
    },
    context,
  );
  const pairs = isClones ? await writePairs(folder, files, known, source.name) : undefined;
  const rowFile = join(folder, splits ? "train.jsonl" : "data.jsonl");
  if (options.outputCleanSamples && splits && !counts.rows["train.jsonl"]) {
    throw new InputError(
      `--train-txt-path ${options.trainTxtPath}: names no function of ${source.name}, so there are no clean samples`,
    );
  }
  // Pairs of functions that were kept out are no samples.
  const pairFile = options.cleanSampleIndexInputPath ?? join(folder, "train.txt");
  const from = isClones ? (options.cleanSampleIndexInputPath ?? options.trainTxtPath!) : source.name;
  return {
    source: source.name,
    ...counts,
    ...(splits ? { absent: splits.absent() } : {}),
    ...(pairs ? { pairs } : {}),
    ...(options.outputCleanSamples
      ? { clean_samples: await writeCleanSamples(folder, options, { rowFile, pairFile, from }) }
      : {}),
  };
}

async function onlyCleanSamples(folder: string, options: PreprocessOptions): Promise<Counts> {
  const rowFile = options.cleanSampleDataInputPath!;
  const pairFile = options.cleanSampleIndexInputPath ?? options.trainTxtPath!;
  const from = options.task === "clone_detection" ? pairFile : rowFile;
  const clean_samples = await writeCleanSamples(folder, options, { rowFile, pairFile, from });
  return { source: rowFile, clean_samples };
}

/** Writes `clean_samples.jsonl`; answers its rows. `from` is the user's file that errors name. */
async function writeCleanSamples(
  folder: string,
  { task, cleanSampleRatio: ratio, labels, seed }: PreprocessOptions,
  { rowFile, pairFile, from }: { readonly rowFile: string; readonly pairFile: string; readonly from: string },
): Promise<number> {
  const isSearch = task === "code_search";
  const settings = { ratio, labels: isSearch ? 1 : labels, seed, file: from };
  const rows =
    task === "clone_detection"
      ? await cleanSamplePairs(rowFile, pairFile, settings)
      : await cleanSampleRows(rowFile, isSearch ? oneLabel : labelOfRow, settings);
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  writeFileSync(join(folder, "clean_samples.jsonl"), lines);
  return rows.length;
}

/** Checks what clean samples need, before any work is done. */
function requireCleanSamples(options: PreprocessOptions): void {
  const { task, cleanSampleRatio, cleanSampleDataInputPath, outputCleanSamples, onlyOutputCleanSamples } =
    options;
  if (!outputCleanSamples && !onlyOutputCleanSamples) return;
  if (cleanSampleRatio >= 1 && !Number.isInteger(cleanSampleRatio)) {
    throw new InputError(
      `--clean-sample-ratio ${cleanSampleRatio}: a number of rows must be whole; a share is below 1`,
    );
  }
  if (onlyOutputCleanSamples && cleanSampleDataInputPath === undefined) {
    throw new InputError("--clean-sample-data-input-path is missing: the rows to draw clean samples from");
  }
  const splits = splitFiles(options);
  const needsTrain = task === "clone_detection" || (splits.size > 0 && !onlyOutputCleanSamples);
  const hasPairs = task === "clone_detection" && options.cleanSampleIndexInputPath !== undefined;
  if (needsTrain && !splits.has("train") && !hasPairs) {
    throw new InputError("--train-txt-path is missing: clean samples come from the training split");
  }
}
