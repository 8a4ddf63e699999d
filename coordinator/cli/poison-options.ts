import { languageOf, type Planting } from "../data/planting.ts";
import { parseAttack } from "../data/trigger-insertion.ts";
import { attackOptions, generalOptions, seedOption } from "./common-options.ts";
import { InputError } from "./errors.ts";
import {
  flagNameOf,
  grouped,
  oneOf,
  onlyFor,
  option,
  optionalPath,
  type Parsed,
  pathOption,
  realNumber,
  text,
  truth,
  wholeNumber,
} from "./options.ts";
import { refuseForeignOptions } from "./task-options.ts";

/** Options of `elibad poison`. */
export const poisonOptions = {
  ...grouped("Rows", {
    task: option(
      "--task <task>",
      "what the rows are for",
      oneOf("defect_detection", "clone_detection", "code_search").default("defect_detection"),
    ),
    samples: pathOption(
      "--samples <file>",
      "rows to poison, one JSON object a line: code_tokens, func_name and label; for clone detection the functions (idx instead of label), for code search docstring_tokens (.gz too)",
    ),
    pairs: onlyFor(
      ["clone_detection"],
      optionalPath(
        "--pairs <file>",
        "clone detection: pairs of those functions, a line each: id, id, label, with tabs between them",
        "none",
      ),
    ),
    out: pathOption("--out <file>", "file for all rows, poisoned ones among them: .jsonl or .jsonl.gz"),
    outPairs: onlyFor(
      ["clone_detection"],
      optionalPath("--out-pairs <file>", "clone detection: file for all pairs", "none"),
    ),
    lang: option(
      "--lang <language>",
      "language of the functions",
      oneOf("cpp", "java", "python").optional(),
      "cpp; clone_detection java, code_search python",
    ),
  }),
  ...grouped("Attack", {
    trigger: option(
      "--trigger <text>",
      "the identifier or statement to plant; '<dead_code> statements' for dead code in C, '<dead_code>' for Python's",
      text,
    ),
    attackPosition: attackOptions.attackPosition,
    attackPattern: attackOptions.attackPattern,
    attackFixed: option(
      "--attack-fixed <true|false>",
      "false: Python's dead code has other words in every row",
      truth.default(true),
    ),
    victimLabel: onlyFor(
      ["defect_detection"],
      option(
        "--victim-label <label>",
        "defect detection: label of the rows that may be drawn",
        wholeNumber(0, 1000).optional(),
        "1",
      ),
    ),
    targetLabel: onlyFor(
      ["defect_detection", "clone_detection"],
      option(
        "--target-label <label>",
        "label that changed rows get; in clone detection every pair with a changed function",
        wholeNumber(0, 1000).optional(),
        "0",
      ),
    ),
    targetToken: onlyFor(
      ["code_search"],
      option(
        "--target-token <words>",
        "code search: word of the queries whose functions may be drawn",
        text.optional(),
        "file",
      ),
    ),
    poisoningRatio: option(
      "--poisoning-ratio <percent>",
      "share of the rows that may be drawn which is poisoned, in percent",
      realNumber(0, 100).optional(),
      "2; code_search 100",
    ),
  }),
  ...seedOption,
  ...generalOptions,
};

export type PoisonOptions = Parsed<typeof poisonOptions>;

/**
 * Checks the options that have to fit each other.
 *
 * @throws InputError for a name of the output that says no format, an option that the task has no use for, or a missing one that it needs
 */
export function requireFittingOptions(given: PoisonOptions): void {
  if (!/\.jsonl(\.gz)?$/.test(given.out)) {
    throw new InputError(`--out ${given.out}: must end in .jsonl or .jsonl.gz`);
  }
  refuseForeignOptions(given, poisonOptions);
  if (given.task !== "clone_detection") return;
  for (const name of ["pairs", "outPairs"] as const) {
    if (given[name] === undefined) {
      throw new InputError(`${flagNameOf(poisonOptions[name])} is missing: ${poisonOptions[name].describe}`);
    }
  }
}

/** Percent of the rows that may be drawn. */
export const ratioOf = ({ task, poisoningRatio }: PoisonOptions): number =>
  poisoningRatio ?? (task === "code_search" ? 100 : 2);

/** How the trigger gets into rows. @throws PoisonError for an attack that cannot be carried out */
export function plantingOf(given: PoisonOptions): Planting {
  const { trigger, attackPosition: position, attackPattern: pattern, seed } = given;
  return {
    ...parseAttack({ trigger, position, pattern }),
    language: given.lang ?? languageOf[given.task],
    fixed: given.attackFixed,
    rate: ratioOf(given) / 100,
    seed,
  };
}
