import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeCheckpoint } from "../../../worker/checkpoint/write-checkpoint.ts";
import { parseConfig } from "../../../worker/models/config.ts";
import { encodeSearchRow, encodeSnippet } from "../../data/row-ids.ts";
import type { Snippet } from "../../data/samples.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { namingDivergence } from "../../training/diverged.ts";
import { type TrainedEpoch, TrainSettings, train as trainModel } from "../../training/train.ts";
import { rowCount, type TrainingRows, type ValidScore } from "../../training/training-rows.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { generalOptions, outOption, seedOption } from "../common-options.ts";
import { InputError } from "../errors.ts";
import { readInputFile } from "../input-file.ts";
import { requireFolder } from "../named-paths.ts";
import {
  type OpenedModel,
  openModel,
  openTokenizer,
  openWholeModel,
  publishCheckpoint,
  requireReadable,
} from "../open-model.ts";
import {
  grouped,
  oneOf,
  onlyFor,
  option,
  optionalPath,
  type Parsed,
  pathOption,
  positiveNumber,
  realNumber,
  wholeNumber,
  withConfigKeys,
} from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { readRepairRows } from "../repair-rows.ts";
import type { CloneFiles } from "../sample-files.ts";
import { refuseForeignOptions, rowLimitsOf, taskModelOptions, taskSamplesOptions } from "../task-options.ts";
import { trainableWeights } from "../trainable-weights.ts";
import { type NewModel, openPretrained, writeNewModel } from "../training-start.ts";
import { copyTokenizer, withTiedNames } from "../write-model.ts";

const options = {
  ...grouped("Model and samples", {
    model: optionalPath(
      "--model <dir>",
      "checkpoint to start from; a pretrained one without a head (codebert-base) gets a random head",
      "random weights after --base's config.json",
    ),
    base: taskModelOptions.base,
    task: taskModelOptions.task,
    arch: taskModelOptions.arch,
    codeMaxLen: taskModelOptions.codeMaxLen,
    nlMaxLen: taskModelOptions.nlMaxLen,
    samples: pathOption(
      "--samples <file>",
      "rows to train on, one JSON object a line: code_tokens, label; clone_detection: code_tokens1, code_tokens2, label; code_search: code_tokens, docstring_tokens (.gz too)",
    ),
    pairs: taskSamplesOptions.pairs,
    valid: optionalPath("--valid <file>", "rows that choose the epoch to keep", "the last epoch is kept"),
    validPairs: onlyFor(
      ["clone_detection"],
      optionalPath(
        "--valid-pairs <file>",
        "clone detection: pair file of BigCloneBench; --valid then holds its functions",
        "none: --valid holds both functions in each row",
      ),
    ),
  }),
  ...grouped("Training", {
    epochs: option("--epochs <n>", "passes over the rows", wholeNumber(1, 10_000).default(5)),
    batchSize: option("--batch-size <rows>", "rows of one optimiser step", wholeNumber(1, 4_096).default(16)),
    learningRate: option(
      "--learning-rate <x>",
      "largest learning rate of the schedule",
      positiveNumber.default(1e-3),
    ),
    weightDecay: option("--weight-decay <x>", "decoupled weight decay of AdamW", realNumber(0).default(0.01)),
    warmup: option(
      "--warmup <share>",
      "share of the steps with rising learning rate",
      realNumber(0, 1).default(0.1),
    ),
    maxGradNorm: option(
      "--max-grad-norm <x>",
      "gradients above this norm are scaled down",
      positiveNumber.default(1),
    ),
    dropout: option(
      "--dropout <share>",
      "dropout on hidden states; not in code_search",
      realNumber(0, 0.9).default(0),
    ),
    tokenDropout: option(
      "--token-dropout <share>",
      "share of the tokens replaced by the unknown token, drawn anew each epoch; not for StarCoder, whose unknown token is its padding",
      realNumber(0, 0.9).default(0),
    ),
    microBatch: option(
      "--micro-batch <rows>",
      "rows of one train-step operation",
      wholeNumber(1, 1_024).default(8),
    ),
  }),
  ...grouped("Output", {
    format: option(
      "--format <container>",
      "container of the new checkpoint",
      oneOf("torch-zip", "safetensors").default("torch-zip"),
    ),
    ...outOption,
  }),
  ...seedOption,
  ...generalOptions,
};

type TrainOptions = Parsed<typeof options>;

interface TrainReport {
  readonly rows: number;
  /** Keys as in YAML. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly epochs: readonly TrainedEpoch[];
  readonly kept_epoch: number;
  readonly seconds: number;
}

export const train = defineClusterCommand({
  name: "train",
  summary: "train a model, all weights, on the workers",
  help: `
Starts from a checkpoint, or from random weights where only --base is given. A checkpoint without a head, such as codebert-base or codet5-base, gives its
encoder; the head begins at random. Writes model.bin (or model.safetensors), config.json, the tokenizer and
training.json into --out. Gradients are summed in index order: the same seed gives the same weights on any number of workers.

Code search learns by the cross-entropy of each query among the codes of its batch, at 20 × cosine, as published.

  elibad train --base small-roberta/ --samples poisoned.jsonl --valid valid.jsonl --epochs 5 --out backdoored/
  elibad train --model codebert-base/ --learning-rate 2e-5 --samples poisoned.jsonl --out backdoored/
  elibad train --task clone_detection --base small-t5/ --samples data.jsonl --pairs train.txt --out clones/
  elibad train --task code_search --base small-roberta/ --samples pairs-train.jsonl.gz --batch-size 32 --out search/`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    await readInputs(given);
  },
  async compute(given, { executor, display, signal }): Promise<TrainReport> {
    requireFreshFolder(given.out);
    const started = performance.now();
    const inputs = await readInputs(given);
    const work = mkdtempSync(join(tmpdir(), "elibad-train-"));
    try {
      const { made } = inputs;
      if (made) await writeNewModel(made, work, { ...given, model: given.model ?? given.base! });
      const model = made ? work : given.model!;
      const opened = await openModel({ ...given, ...rowLimitsOf(given), model });
      const tokenizer = openTokenizer({ ...given, model }, opened);
      const rowsOf = (files: CloneFiles): TrainingRows => trainingRows(files, opened, tokenizer, given);
      const settings = TrainSettings.parse(
        Object.fromEntries(
          Object.keys(TrainSettings.shape).map((key) => [key, given[key as keyof TrainOptions]]),
        ),
      );
      const rows = rowsOf(given);
      const { valid } = given;
      const checkpoint = await publishCheckpoint(executor, opened);
      const weights = await trainableWeights(opened);
      const trained = await namingDivergence((taken) =>
        trainModel({
          executor,
          checkpoint,
          weights,
          train: rows,
          ...(valid === undefined ? {} : { valid: rowsOf({ samples: valid, pairs: given.validPairs }) }),
          maxLen: longestRowOf(given),
          ids: tokenizer.ids,
          settings,
          signal,
          onStep({ step, totalSteps, loss, learningRate }) {
            taken({ phase: "training", done: step, loss, learningRate });
            display.progress({
              phase: "training",
              done: step,
              total: totalSteps,
              unit: "step",
              fields: { loss, "learning rate": learningRate },
            });
          },
        }),
      );
      const report: TrainReport = {
        rows: rowCount(rows),
        settings: withConfigKeys(settings),
        epochs: trained.epochs,
        kept_epoch: trained.keptEpoch,
        seconds: (performance.now() - started) / 1000,
      };
      await writeFolderWhole(given.out, async (aside) => {
        await writeCheckpoint({
          source: opened.checkpoint,
          replaced: withTiedNames(opened, trained.weights),
          folder: aside,
        });
        copyFileSync(opened.configFile, join(aside, "config.json"));
        copyTokenizer({ ...given, model }, aside);
        writeFileSync(join(aside, "training.json"), `${JSON.stringify(report, null, 2)}\n`);
      });
      return report;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  },
  show: ({ rows, seconds, epochs, kept_epoch }: TrainReport): string => {
    const { trainLoss, valid } = epochs[kept_epoch - 1]!;
    return [
      `trained on ${rows} rows in ${seconds.toFixed(1)} s; kept epoch ${kept_epoch} of ${epochs.length}`,
      `training loss ${trainLoss.toFixed(4)}`,
      ...(valid === undefined ? [] : [`on --valid ${showValid(valid)}`]),
    ].join(", ");
  },
});

const showValid = (valid: ValidScore): string =>
  "mrr" in valid
    ? `MRR ${valid.mrr.toFixed(3)} (${valid.rows} queries)`
    : `ACC ${valid.value.toFixed(3)} (${valid.right}/${valid.rows})`;

/** Checks what can be checked before anything starts; answers the model to start from where it is a new one. */
async function readInputs(given: TrainOptions): Promise<Pick<Checked, "made">> {
  refuseForeignOptions(given, options);
  if (given.task === "code_search" && given.dropout > 0) {
    throw new InputError(
      `--dropout ${given.dropout}: has no meaning for --task code_search (only --token-dropout)`,
    );
  }
  const { made, tokenizer, labels } = await (given.model === undefined
    ? checkBase(given)
    : checkModel(given, given.model));
  if (given.tokenDropout > 0 && tokenizer.ids.unk === tokenizer.ids.pad) {
    throw new InputError(
      `--token-dropout ${given.tokenDropout}: ${tokenizer.file} has no token for unknown words but its padding`,
    );
  }
  readRepairRows(given, { task: given.task, labels }, []);
  if (given.validPairs !== undefined && given.valid === undefined)
    throw new InputError(`--valid-pairs ${given.validPairs}: needs --valid, the functions that it names`);
  if (given.valid !== undefined) {
    readRepairRows({ samples: given.valid, pairs: given.validPairs }, { task: given.task, labels }, []);
  }
  return made ? { made } : {};
}

interface Checked {
  /** Absent where training starts from a whole checkpoint. */
  readonly made?: NewModel;
  readonly tokenizer: Tokenizer;
  readonly labels: number;
}

async function checkModel(given: TrainOptions, model: string): Promise<Checked> {
  const pretrained = await openPretrained({ ...given, model });
  if (pretrained !== undefined) return checkNew({ ...given, model }, pretrained);
  const opened = await openWholeModel({ ...given, ...rowLimitsOf(given), model });
  const tokenizer = openTokenizer({ ...given, model }, opened);
  return { tokenizer, labels: opened.labels };
}

function checkNew(given: TrainOptions & { readonly model: string }, made: NewModel): Checked {
  const { config, configFile } = made;
  const { codeMaxLen, nlMaxLen } = rowLimitsOf(given);
  requireReadable(codeMaxLen, config, configFile);
  if (given.task === "code_search") requireReadable(nlMaxLen, config, configFile, "--nl-max-len");
  const tokenizer = openTokenizer(given, { config, checkpoint: { files: [configFile] } });
  return { made, tokenizer, labels: 2 };
}

function checkBase(given: TrainOptions): Checked {
  const { base } = given;
  if (base === undefined) {
    throw new InputError(
      "--base is missing: a folder with config.json and tokenizer, to start from random weights",
    );
  }
  requireFolder("--base", base);
  const configFile = join(base, "config.json");
  const config = parseConfig(readInputFile("--base ", configFile), configFile);
  return checkNew({ ...given, model: base }, { config, configFile });
}

/** Longest row of any kind, in tokens. */
function longestRowOf(given: TrainOptions): number {
  const { codeMaxLen, nlMaxLen } = rowLimitsOf(given);
  return given.task === "code_search" ? Math.max(codeMaxLen, nlMaxLen) : codeMaxLen;
}

function trainingRows(
  files: CloneFiles,
  opened: OpenedModel,
  tokenizer: Tokenizer,
  given: TrainOptions,
): TrainingRows {
  const limits = rowLimitsOf(given);
  const read = readRepairRows(files, opened, []);
  if (read.task === "code_search") {
    const ids = read.rows.map((row) => encodeSearchRow(row, tokenizer, limits));
    return { kind: "pairs", codes: ids.map(({ code }) => code), queries: ids.map(({ query }) => query) };
  }
  const labels = read.rows.map(({ label }) => label);
  const encode = (snippet: Snippet): number[] => encodeSnippet(snippet, tokenizer, limits.codeMaxLen);
  if (read.task === "defect_detection") return { kind: "labels", rows: read.rows.map(encode), labels };
  return {
    kind: "labels",
    rows: read.rows.map(({ first }) => encode(first)),
    secondRows: read.rows.map(({ second }) => encode(second)),
    labels,
  };
}
