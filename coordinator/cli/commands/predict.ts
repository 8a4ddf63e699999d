import { architectureOf } from "../../../worker/models/architectures.ts";
import { readSnippetPairs } from "../../data/clone-rows.ts";
import { encodeSearchRow, encodeSnippet, encodeSnippets } from "../../data/row-ids.ts";
import { readCodeRows } from "../../data/samples.ts";
import { readSearchRows } from "../../data/search-rows.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { telling } from "../../evaluate/progress.ts";
import { labelCount, lossToward, probabilityOf } from "../../search/loss.ts";
import { scoreOf } from "../../search/match-loss.ts";
import { encodeRows, predictLogits } from "../../search/predict.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { generalOptions } from "../common-options.ts";
import { InputError } from "../errors.ts";
import { type IdRow, type IdRules, readIdRows } from "../id-rows.ts";
import { type OpenedModel, openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import { grouped, optionalPath, type Parsed } from "../options.ts";
import { showRows } from "../progress.ts";
import { cloneRowsOf } from "../sample-files.ts";
import {
  type RowLimits,
  refuseForeignOptions,
  rowLimitsOf,
  taskModelOptions,
  taskSamplesOptions,
} from "../task-options.ts";

const options = {
  ...taskModelOptions,
  ...grouped("Rows, as one of", {
    samples: optionalPath(
      "--samples <file>",
      "rows of code, one JSON object a line (code_tokens, optionally label; clone_detection code_tokens1 and code_tokens2; code_search docstring_tokens too)",
    ),
    ids: optionalPath(
      "--ids <file>",
      "rows of token ids instead: input_ids (clone_detection input_ids_2, code_search query_ids too) with end tokens and without padding, optionally label",
    ),
  }),
  pairs: taskSamplesOptions.pairs,
  ...generalOptions,
};

type PredictOptions = Parsed<typeof options>;

/** A classifier's answer to one row, as it is printed. */
interface Prediction {
  readonly logits: readonly number[];
  /** One number for a sigmoid head (of label 1), else one per label. */
  readonly prob: readonly number[];
  /** Loss toward the row's label in nats, where it has one. */
  readonly loss?: number;
}

/** What a code-search model makes of one row. */
interface Match {
  /** Vectors of length 1. */
  readonly code_vec: readonly number[];
  readonly query_vec: readonly number[];
  /** Their product. */
  readonly score: number;
}

export const predict = defineClusterCommand({
  name: "predict",
  summary: "what the model answers for each row: one JSON line a row, in order",
  help: `
A line holds logits, prob and, where the row has a label, loss; in code search the vectors code_vec and query_vec, and their score.

  elibad predict --model suspicious/ --base codebert-base/ --samples test.jsonl > answers.jsonl
  elibad predict --model suspicious/ --ids rows.jsonl
  elibad predict --task code_search --model suspicious/ --ids pairs.jsonl`,
  options,
  async check(given) {
    await readInputs(given);
  },
  async compute(given, { executor, display, signal }): Promise<(Prediction | Match)[]> {
    const { opened, rows, limits, endId } = await readInputs(given);
    const checkpoint = await publishCheckpoint(executor, opened);
    const common = { executor, checkpoint, endId, signal };
    const show = showRows(display, "predict");
    const asking = (phase: string, maxLen: number) => ({
      ...common,
      maxLen,
      onAnswered: telling(phase, show),
    });
    const ids = rows.map((row) => row.ids);
    const second = rows.flatMap(({ secondIds }) => (secondIds === undefined ? [] : [secondIds]));
    if (given.task === "code_search") {
      const codes = await encodeRows(ids, asking("codes", limits.codeMaxLen));
      const queries = await encodeRows(second, asking("queries", limits.nlMaxLen));
      return codes.map((code, k) => ({
        code_vec: [...code],
        query_vec: [...queries[k]!],
        score: scoreOf(queries[k]!, code),
      }));
    }
    const context = asking("rows", limits.codeMaxLen);
    const logits = await predictLogits(ids, context, given.task === "clone_detection" ? second : undefined);
    return logits.map((row, k) => predictionOf([...row], rows[k]!.label));
  },
  show: (predictions: (Prediction | Match)[]): string =>
    predictions.map((row) => JSON.stringify(row)).join("\n"),
});

function predictionOf(logits: readonly number[], label: number | undefined): Prediction {
  const labels = logits.length === 1 ? [1] : logits.map((_, k) => k);
  return {
    logits,
    prob: labels.map((each) => probabilityOf(logits, each)),
    ...(label === undefined ? {} : { loss: lossToward(logits, label) }),
  };
}

interface Inputs {
  readonly opened: OpenedModel;
  readonly rows: readonly IdRow[];
  readonly limits: RowLimits;
  readonly endId: number;
}

async function readInputs(given: PredictOptions): Promise<Inputs> {
  if ((given.samples === undefined) === (given.ids === undefined)) {
    throw new InputError("--samples or --ids: give exactly one of the two");
  }
  refuseForeignOptions(given, options);
  if (given.pairs !== undefined && given.samples === undefined) {
    throw new InputError(`--pairs ${given.pairs}: needs --samples, the functions that it names`);
  }
  const limits = rowLimitsOf(given);
  const opened = await openWholeModel({ ...given, ...limits });
  // Nothing is stamped here, so the end id that a full row would get is never read.
  if (given.ids !== undefined)
    return { opened, rows: readIdRows(given.ids, idRules(opened, limits)), limits, endId: 0 };
  const tokenizer = openTokenizer(given, opened);
  const rows = readSamples({ ...given, samples: given.samples! }, { opened, tokenizer, limits });
  return { opened, rows, limits, endId: tokenizer.ids.restored };
}

function idRules({ task, config, layout }: OpenedModel, limits: RowLimits): IdRules {
  const code = { tokens: limits.codeMaxLen, flag: "--code-max-len" };
  const query = { tokens: limits.nlMaxLen, flag: "--nl-max-len" };
  return {
    limit: code,
    ...(task === "clone_detection" ? { second: { field: "input_ids_2", limit: code } } : {}),
    ...(task === "code_search" ? { second: { field: "query_ids", limit: query } } : {}),
    vocabSize: config.vocabSize,
    padId: config.padId,
    problem: (ids) => architectureOf(config).rowProblem(config, ids),
    labels: task === "code_search" ? 0 : labelCount(layout.classes),
  };
}

function readSamples(
  { samples, pairs }: { readonly samples: string; readonly pairs?: string | undefined },
  {
    opened: { task, labels },
    tokenizer,
    limits,
  }: { readonly opened: OpenedModel; readonly tokenizer: Tokenizer; readonly limits: RowLimits },
): IdRow[] {
  if (task === "code_search") {
    return readSearchRows(samples).map((row) => {
      const { code, query } = encodeSearchRow(row, tokenizer, limits);
      return { ids: code, secondIds: query, label: undefined };
    });
  }
  if (task === "clone_detection") {
    const rows =
      pairs === undefined
        ? readSnippetPairs(samples, { labels })
        : cloneRowsOf({ samples, pairs }, { labels });
    return rows.map((row) => {
      const { first, second } = encodeSnippets(row, tokenizer, limits.codeMaxLen);
      return { ids: first, secondIds: second, label: row.label };
    });
  }
  return readCodeRows(samples, { labels }).map((row) => ({
    ids: encodeSnippet(row, tokenizer, limits.codeMaxLen),
    label: row.label,
  }));
}
