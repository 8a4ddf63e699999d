import { SamplesError } from "../../data/errors.ts";
import { codeText, readCodeRows } from "../../data/samples.ts";
import { readJsonLines } from "../../data/text-file.ts";
import { labelCount, lossToward, probabilityOf } from "../../search/loss.ts";
import { predictLogits } from "../../search/predict.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { generalOptions, modelOptions } from "../common-options.ts";
import { InputError } from "../errors.ts";
import { type OpenedModel, openTokenizer, openWholeModel, publishCheckpoint } from "../open-model.ts";
import { grouped, optionalPath, type Parsed } from "../options.ts";

const options = {
  ...modelOptions,
  ...grouped("Rows, as one of", {
    samples: optionalPath(
      "--samples <file>",
      "rows of code, one JSON object a line (code_tokens, optionally label)",
    ),
    ids: optionalPath(
      "--ids <file>",
      "rows of token ids instead: input_ids with end tokens and without padding, optionally label",
    ),
  }),
  ...generalOptions,
};

type PredictOptions = Parsed<typeof options>;

/** One row's answer, as it is printed. */
interface Prediction {
  readonly logits: readonly number[];
  /** One number for a sigmoid head (of label 1), else one per label. */
  readonly prob: readonly number[];
  /** Loss toward the row's label in nats, where it has one. */
  readonly loss?: number;
}

interface Row {
  readonly ids: readonly number[];
  readonly label: number | undefined;
}

export const predict = defineClusterCommand({
  name: "predict",
  summary: "what the model answers for each row: one JSON line a row, in order",
  help: `
  elibad predict --model suspicious/ --base codebert-base/ --samples test.jsonl > answers.jsonl
  elibad predict --model suspicious/ --ids rows.jsonl`,
  options,
  async check(given) {
    await readInputs(given);
  },
  async compute(given, { executor, signal }): Promise<Prediction[]> {
    const { opened, rows, endId } = await readInputs(given);
    const logits = await predictLogits(
      rows.map(({ ids }) => ids),
      {
        executor,
        checkpoint: await publishCheckpoint(executor, opened),
        maxLen: given.codeMaxLen,
        endId,
        signal,
      },
    );
    return logits.map((row, k) => predictionOf([...row], rows[k]!.label));
  },
  show: (predictions: Prediction[]): string => predictions.map((row) => JSON.stringify(row)).join("\n"),
});

function predictionOf(logits: readonly number[], label: number | undefined): Prediction {
  const labels = logits.length === 1 ? [1] : logits.map((_, k) => k);
  return {
    logits,
    prob: labels.map((each) => probabilityOf(logits, each)),
    ...(label === undefined ? {} : { loss: lossToward(logits, label) }),
  };
}

async function readInputs(
  given: PredictOptions,
): Promise<{ opened: OpenedModel; rows: Row[]; endId: number }> {
  if ((given.samples === undefined) === (given.ids === undefined)) {
    throw new InputError("--samples or --ids: give exactly one of the two");
  }
  const opened = await openWholeModel(given);
  if (given.ids !== undefined)
    return { opened, rows: readIds(given.ids, opened, given.codeMaxLen), endId: 2 };
  const tokenizer = openTokenizer(given, opened);
  const rows = readCodeRows(given.samples!, { labels: opened.labels }).map(({ codeTokens, label }) => ({
    ids: tokenizer.encodeRow(codeText(codeTokens), given.codeMaxLen),
    label,
  }));
  return { opened, rows, endId: tokenizer.ids.restored };
}

function readIds(file: string, { config, layout }: OpenedModel, maxLen: number): Row[] {
  const { vocabSize, padId } = config;
  const labels = labelCount(layout.classes);
  return readJsonLines(file).map(({ line, value: { input_ids: ids, label } }) => {
    const refuse = (field: string, value: unknown, reason: string): never => {
      throw new SamplesError(reason, { file, line, field, value: value ?? null });
    };
    if (!Array.isArray(ids) || ids.length === 0) {
      return refuse("input_ids", ids, "expected a list of token ids with both end tokens");
    }
    if (ids.length > maxLen) {
      refuse("input_ids", `${ids.length} ids`, `more than --code-max-len ${maxLen}`);
    }
    const wrong = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (wrong !== -1) refuse(`input_ids[${wrong}]`, ids[wrong], `the model knows ids 0 to ${vocabSize - 1}`);
    const pad = ids.indexOf(padId);
    if (pad !== -1) refuse(`input_ids[${pad}]`, padId, "the model's padding; give rows without padding");
    if (label !== undefined && !(Number.isInteger(label) && Number(label) >= 0 && Number(label) < labels)) {
      refuse("label", label, `the model knows labels 0 to ${labels - 1}`);
    }
    return { ids, label: label as number | undefined };
  });
}
