import type { Task } from "../../proto/operations.ts";
import { modelOptions } from "./common-options.ts";
import { InputError } from "./errors.ts";
import {
  flagNameOf,
  grouped,
  type OptionSpecs,
  oneOf,
  onlyFor,
  option,
  optionalPath,
  pathOption,
  wholeNumber,
} from "./options.ts";

/** Model options of the commands that know every task. */
export const taskModelOptions = {
  ...modelOptions,
  ...grouped("Model and samples", {
    task: option(
      "--task <task>",
      "what the model decides",
      oneOf("defect_detection", "clone_detection", "code_search").default("defect_detection"),
    ),
    codeMaxLen: option(
      "--code-max-len <tokens>",
      "longest code in tokens, both end tokens included",
      wholeNumber(8, 100_000).optional(),
      "400; code_search 256",
    ),
    nlMaxLen: onlyFor(
      ["code_search"],
      option(
        "--nl-max-len <tokens>",
        "code search: longest query in tokens, both end tokens included",
        wholeNumber(8, 100_000).optional(),
        "128",
      ),
    ),
  }),
};

/** Where rows come from. */
export const taskSamplesOptions = grouped("Model and samples", {
  samples: pathOption(
    "--samples <file>",
    "clean samples, one JSON object a line: code_tokens, variables, func_name, label; clone_detection: the same with 1 and 2 behind the names; code_search: docstring_tokens instead of label (.gz too)",
  ),
  pairs: onlyFor(
    ["clone_detection"],
    optionalPath(
      "--pairs <file>",
      "clone detection: pair file of BigCloneBench (id, id, label, with tabs between them); --samples then holds its functions",
      "none: --samples holds both functions in each row",
    ),
  ),
});

/** Longest rows in tokens, both end tokens included. */
export interface RowLimits {
  readonly codeMaxLen: number;
  readonly nlMaxLen: number;
}

/** What a user did not say is the reference's. */
export const rowLimitsOf = ({
  task,
  codeMaxLen,
  nlMaxLen,
}: {
  readonly task: Task;
  readonly codeMaxLen?: number | undefined;
  readonly nlMaxLen?: number | undefined;
}): RowLimits => ({
  codeMaxLen: codeMaxLen ?? (task === "code_search" ? 256 : 400),
  nlMaxLen: nlMaxLen ?? 128,
});

/** @throws InputError for an option that was given and that the task has no use for: it would be ignored */
export function refuseForeignOptions(
  given: Readonly<Record<string, unknown>> & { readonly task: Task },
  options: OptionSpecs,
): void {
  for (const [name, spec] of Object.entries(options)) {
    const value = given[name];
    if (value === undefined || spec.tasks === undefined || spec.tasks.includes(given.task)) continue;
    throw new InputError(`${flagNameOf(spec)} ${value}: has no meaning for --task ${given.task}`);
  }
}
