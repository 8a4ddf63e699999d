import { z } from "zod";
import { PROGRAM_FORMS } from "../../proto/operations.ts";
import {
  flagOf,
  PairScanSettings,
  publishedCode,
  publishedPairCode,
  ScanSettings,
} from "../search/settings.ts";
import { attackOptions, classifiers } from "./common-options.ts";
import { directionOf } from "./direction.ts";
import { InputError } from "./errors.ts";
import {
  defaultTextOf,
  flag,
  grouped,
  idList,
  oneOf,
  onlyFor,
  option,
  optionalPath,
  type Parsed,
  realNumber,
  wholeNumber,
  withoutAbsent,
} from "./options.ts";

/** An option whose default is the scan setting's own, shown in `--help`; absent stays absent, so that `--compat` can fill it. */
function setting<T>(
  flagText: string,
  describe: string,
  key: keyof typeof ScanSettings.shape,
  schema: z.ZodType<T>,
  shownDefault = defaultTextOf(ScanSettings.shape[key]),
) {
  return option(flagText, describe, schema.optional(), shownDefault);
}

/** Options of the trigger search, with the reference's names (DESIGN section 5). */
export const searchOptions = {
  ...grouped("Search", {
    directions: onlyFor(
      classifiers,
      option(
        "--directions <which>",
        "all label directions, or only --victim-label to --target-label",
        oneOf("all", "one").optional(),
        "all",
      ),
    ),
    victimLabel: attackOptions.victimLabel,
    targetLabel: attackOptions.targetLabel,
    half: option(
      "--half <half>",
      "half of the row that the trigger may stand in",
      oneOf("first_half", "second_half", "both").default("first_half"),
    ),
    seeds: setting(
      "--seeds <n>",
      "searches per direction and half, with seeds that follow --seed",
      "seeds",
      wholeNumber(1, 100),
    ),
    epochs: setting("--epochs <n>", "steps of a search at most", "epochs", wholeNumber(1, 100_000)),
    patience: setting(
      "--patience <steps>",
      "end a search after so many steps without a lower loss; 0: make all steps",
      "patience",
      wholeNumber(0, 100_000),
    ),
    targetLoss: setting(
      "--target-loss <loss>",
      "end a search whose loss is as low as this; 0: at none",
      "targetLoss",
      realNumber(0),
      "0.1; code_search 0",
    ),
    triggerLen: setting("--trigger-len <tokens>", "tokens of the trigger", "triggerLen", wholeNumber(1, 64)),
    topk: setting(
      "--topk <n>",
      "ids per position that candidates are drawn from",
      "topk",
      wholeNumber(1, 100_000),
    ),
    repeatSize: setting("--repeat-size <n>", "candidates of a step", "repeatSize", wholeNumber(1, 100_000)),
    numSamples: setting(
      "--num-samples <n>",
      "rows of the victim label that a search works on (code search: rows); the rest is held out",
      "samples",
      wholeNumber(1, 100_000),
    ),
    beta: setting(
      "--beta <rise>",
      "rise of the loss that anchoring accepts",
      "beta",
      realNumber(0),
      "0.15; code_search 0.01",
    ),
    init: setting("--init <ids>", "initial trigger as ids, comma-separated", "init", idList, "drawn"),
    heldOut: optionalPath(
      "--held-out <file>",
      "rows that measure the trigger and take no part in the search",
      "the samples' rows of the victim label after those in use",
    ),
    replay: optionalPath(
      "--replay <trace.jsonl>",
      "take each step's candidates from a trace instead of drawing them",
    ),
  }),
  ...grouped("As in the published code", {
    compat: option(
      "--compat <what>",
      `all of: ${Object.entries(publishedCode)
        .map(([name, value]) => `--${flagOf(name)} ${value}`)
        .join(", ")} (code_search: those that it has); options given beside it win`,
      oneOf("published-code").optional(),
    ),
    position: onlyFor(
      classifiers,
      setting(
        "--position <rule>",
        "which variable's place a trigger takes: the one whose masking leaves the lowest probability, or as the published code",
        "position",
        oneOf("lowest", "published"),
      ),
    ),
    scoreIndex: setting(
      "--score-index <index>",
      "index in the row at which candidates are scored: own, each sample's, or one number for all rows (published: 10)",
      "scoreIndex",
      z.union([z.literal("own"), wholeNumber(1, 100_000)], { error: "must be own or a whole number from 1" }),
    ),
    gradient: setting(
      "--gradient <which>",
      "CodeT5: count every look-up of a trigger token, or as published the encoder's alone",
      "gradient",
      oneOf("full", "published"),
    ),
    loss: onlyFor(
      classifiers,
      setting(
        "--loss <form>",
        "float64 from logits, or the published float32 form (which is not pruned)",
        "loss",
        oneOf("float64", "published"),
      ),
    ),
    anchoring: setting(
      "--anchoring <rule>",
      "remove tokens one after the other, or the published rule",
      "anchoring",
      oneOf("elimination", "published"),
    ),
  }),
  ...grouped("Speed, with the same result", {
    pruning: option(
      "--pruning <on|off>",
      "off scores every candidate on every sample; the winners are the same",
      oneOf("on", "off").default("on"),
    ),
    precision: onlyFor(
      classifiers,
      setting(
        "--precision <type>",
        "fp16: score candidates with float16 products first, and near ties in float32",
        "precision",
        oneOf("fp32", "fp16"),
      ),
    ),
    pruneBlock: onlyFor(
      classifiers,
      setting("--prune-block <samples>", "samples of a round", "pruneBlock", wholeNumber(1, 10_000)),
    ),
    roundTiles: onlyFor(
      classifiers,
      setting(
        "--round-tiles <n>",
        "tiles of a round at least: about the workers per search in flight",
        "roundTiles",
        wholeNumber(1, 10_000),
      ),
    ),
    tile: setting(
      "--tile <tokens>",
      "tokens of one tile, about; a GPU's is in the result, as tile, for the same plan again",
      "tile",
      wholeNumber(1, 1_000_000),
      "1500 on CPUs, measured on a GPU",
    ),
    gradientRows: setting(
      "--gradient-rows <n>",
      "rows of one gradient operation",
      "gradientRows",
      wholeNumber(1, 10_000),
    ),
    searchesInFlight: setting(
      "--searches-in-flight <n>",
      "searches that run at a time; their traces do not depend on it",
      "searchesInFlight",
      wholeNumber(1, 1_000),
    ),
  }),
  ...grouped("Speed, with other rounding", {
    programForm: setting(
      "--program-form <form>",
      "operators of the programs that score: ONNX's own, or fused ones of onnxruntime",
      "programForm",
      oneOf(...PROGRAM_FORMS),
    ),
  }),
  ...grouped("Output", {
    trace: option(
      "--trace",
      "also write trace.jsonl: samples, then every step with candidates and losses",
      flag,
    ),
  }),
};

/** Options of `scan` that only some tasks have. */
export const taskSearchOptions = grouped("Search", {
  targetLen: onlyFor(
    ["code_search"],
    option(
      "--target-len <tokens>",
      "code search: tokens of the target, which goes into the queries; 0 searches a trigger alone",
      wholeNumber(0, 64).optional(),
      "2",
    ),
  ),
  heldOutPairs: onlyFor(
    ["clone_detection"],
    optionalPath(
      "--held-out-pairs <file>",
      "clone detection: pair file of BigCloneBench; --held-out then holds its functions",
      "none: --held-out holds both functions in each row",
    ),
  ),
});

/** What a search of any task reads. */
const commonSettings = (options: Parsed<typeof searchOptions> & { readonly seed: number }) => ({
  halves: options.half === "both" ? ["first_half", "second_half"] : [options.half],
  seed: options.seed,
  samples: options.numSamples,
  pruning: options.pruning === "on",
  seeds: options.seeds,
  triggerLen: options.triggerLen,
  topk: options.topk,
  repeatSize: options.repeatSize,
  epochs: options.epochs,
  patience: options.patience,
  targetLoss: options.targetLoss,
  beta: options.beta,
  init: options.init,
  scoreIndex: options.scoreIndex,
  gradient: options.gradient,
  anchoring: options.anchoring,
  tile: options.tile,
  gradientRows: options.gradientRows,
  searchesInFlight: options.searchesInFlight,
  programForm: options.programForm,
});

/** The settings of a scan from its options; what the user left out takes the published value under `--compat`, else the default. */
export function scanSettingsOf(
  options: Parsed<typeof searchOptions> & { readonly seed: number; readonly codeMaxLen: number },
): ScanSettings {
  const { victimLabel: victim, targetLabel: target } = directionOf(options);
  const given = {
    ...commonSettings(options),
    directions: options.directions === "one" ? [{ victim, target }] : "all",
    codeMaxLen: options.codeMaxLen,
    position: options.position,
    loss: options.loss,
    precision: options.precision,
    pruneBlock: options.pruneBlock,
    roundTiles: options.roundTiles,
  };
  const settings = ScanSettings.parse({ ...(options.compat ? publishedCode : {}), ...withoutAbsent(given) });
  checkTrigger(settings);
  if (settings.precision === "fp16" && settings.loss === "published") {
    throw new InputError("--precision fp16: near ties need --loss float64, and the published loss rounds");
  }
  return settings;
}

export type PairScanOptions = Parsed<typeof searchOptions> & { readonly targetLen?: number | undefined };

/** The same for a code-search model. Under `--compat`, what the published code cannot do there stays elibad's. */
export function pairSettingsOf(
  options: PairScanOptions & {
    readonly seed: number;
    readonly codeMaxLen: number;
    readonly nlMaxLen: number;
  },
): PairScanSettings {
  const { codeMaxLen, nlMaxLen, targetLen } = options;
  const given = { ...commonSettings(options), codeMaxLen, nlMaxLen, targetLen };
  const settings = PairScanSettings.parse({
    ...(options.compat ? publishedPairCode : {}),
    ...withoutAbsent(given),
  });
  checkTrigger(settings);
  if (settings.targetLen > settings.nlMaxLen - 3) {
    throw new InputError(
      `--target-len ${settings.targetLen}: leaves no room for the query in --nl-max-len ${settings.nlMaxLen} (both end tokens included)`,
    );
  }
  return settings;
}

function checkTrigger({
  init,
  triggerLen,
  codeMaxLen,
}: Pick<ScanSettings, "init" | "triggerLen" | "codeMaxLen">): void {
  if (init && init.length !== triggerLen) {
    throw new InputError(`--init ${init.join(",")}: has ${init.length} ids, --trigger-len is ${triggerLen}`);
  }
  if (triggerLen > codeMaxLen - 3) {
    throw new InputError(
      `--trigger-len ${triggerLen}: leaves no room for code in --code-max-len ${codeMaxLen} (both end tokens included)`,
    );
  }
}
