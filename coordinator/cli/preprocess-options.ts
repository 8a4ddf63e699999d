import { generalOptions, outOption } from "./common-options.ts";
import {
  flag,
  grouped,
  oneOf,
  option,
  optionalPath,
  type Parsed,
  pathList,
  realNumber,
  wholeNumber,
} from "./options.ts";

/** Options of `elibad preprocess`: names as in the published settings, where they have a counterpart. */
export const preprocessOptions = {
  ...grouped("Functions", {
    task: option(
      "--task <task>",
      "what the rows are for",
      oneOf("defect_detection", "clone_detection", "code_search").default("defect_detection"),
    ),
    dataJsonPath: optionalPath(
      "--data-json-path <file>",
      "defect detection: Devign's function.json, or its rows as JSONL (.gz too)",
    ),
    dataJsonlPath: {
      ...option(
        "--data-jsonl-path <files>",
        "clone detection: BigCloneBench's data.jsonl; code search: JSONL of CodeSearchNet, several files separated by commas (.gz too)",
        pathList.optional(),
      ),
      isPath: true as const,
    },
    sourcePath: {
      ...option(
        "--source-path <paths>",
        "source files, and folders of them, separated by commas, instead of a data set: one row a function",
        pathList.optional(),
      ),
      isPath: true as const,
    },
    lang: option(
      "--lang <language>",
      "language of the code",
      oneOf("cpp", "java", "python").optional(),
      "cpp for defect detection, java for clones, python for code search; of source files, what they are named",
    ),
    label: option(
      "--label <label>",
      "label that the functions of --source-path get",
      wholeNumber(0, 1000).optional(),
      "none",
    ),
    syntaxErrors: option(
      "--syntax-errors <what>",
      "functions in which tree-sitter finds a syntax error, often only an unknown macro: keep them as published, or drop them",
      oneOf("keep", "drop").default("keep"),
    ),
  }),
  ...grouped("Splits", {
    trainTxtPath: optionalPath(
      "--train-txt-path <file>",
      "the training split: ids of functions, one a line; of clones pairs, idx1 TAB idx2 TAB label a line",
    ),
    validTxtPath: optionalPath("--valid-txt-path <file>", "the validation split"),
    testTxtPath: optionalPath("--test-txt-path <file>", "the test split"),
  }),
  ...grouped("Clean samples", {
    outputCleanSamples: option(
      "--output-clean-samples",
      "draw clean samples from the training split, or from all rows where there is none",
      flag,
    ),
    onlyOutputCleanSamples: option(
      "--only-output-clean-samples",
      "draw them from rows that were preprocessed before, and do nothing else",
      flag,
    ),
    cleanSampleRatio: option(
      "--clean-sample-ratio <n>",
      "how many: rows of each label, or below 1 a share of all rows",
      realNumber(0).default(100),
    ),
    labels: option(
      "--labels <n>",
      "number of labels that the rows have; code search has none",
      wholeNumber(1, 1000).default(2),
    ),
    cleanSampleDataInputPath: optionalPath(
      "--clean-sample-data-input-path <file>",
      "the preprocessed rows for --only-output-clean-samples",
    ),
    cleanSampleIndexInputPath: optionalPath(
      "--clean-sample-index-input-path <file>",
      "clones: the pairs to draw from",
      "--train-txt-path",
    ),
    seed: option(
      "--seed <n>",
      "seed of the draw, which is Python's: 42 draws the published samples",
      wholeNumber(0, 2 ** 32 - 1).default(42),
    ),
  }),
  ...outOption,
  workers: option(
    "--workers <n>",
    "threads that parse; the rows are the same with any number",
    wholeNumber(1, 256).optional(),
    "the cores",
  ),
  ...generalOptions,
};

export type PreprocessOptions = Parsed<typeof preprocessOptions>;
