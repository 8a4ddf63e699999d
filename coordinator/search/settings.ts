import { z } from "zod";
import { PROGRAM_FORMS, type ProgramForm } from "../../proto/operations.ts";
import { CPU_TILE } from "./measured-tile.ts";

const count = (fallback: number) => z.int().min(1).default(fallback);

/**
 * Settings of one search. Names and defaults are the reference's (EliBadCode `defense/ours/config`); where the published
 * code decides in a questionable way, a value `published` (or the constant it uses) does as it does.
 */
export const SearchSettings = z.strictObject({
  /** Tokens of the trigger. */
  triggerLen: count(5),
  /** Ids per position that candidates are drawn from. */
  topk: count(64),
  /** Candidates per step. */
  repeatSize: count(64),
  /** Steps at most. */
  epochs: count(100),
  /** Steps without a lower loss after which a search ends; 0: it makes all steps. */
  patience: z.int().nonnegative().default(20),
  /** Loss at which a search ends, in nats; 0: at none. */
  targetLoss: z.number().nonnegative().default(0.01),
  /** Seed of every draw: an integer in [0, 2⁵³). */
  seed: z.int().nonnegative().default(123_456),
  /** Ids of the initial trigger; absent: drawn. Their number has to be `triggerLen`. */
  init: z.array(z.int().nonnegative()).readonly().optional(),
  /** Where candidates are scored: at each sample's own index, or at one index in every row (published: 10). */
  scoreIndex: z.union([z.literal("own"), z.int().nonnegative()]).default("own"),
  /** Look-ups of a trigger token that its gradient counts: `full` all; `published` only T5's encoder, as the published code. */
  gradient: z.enum(["full", "published"]).default("full"),
  /** `published`: −log(p + 1e-10) in float32; nothing is pruned then, since rounding would show. */
  loss: z.enum(["float64", "published"]).default("float64"),
  /** `elimination`: token after token while the loss allows; `published`: each dropped in turn. */
  anchoring: z.enum(["elimination", "published"]).default("elimination"),
  /** Rise of the loss, in nats, that anchoring accepts. */
  beta: z.number().nonnegative().default(0.15),
  /** Exact pruning: the same winners from fewer forwards. */
  pruning: z.boolean().default(true),
  /**
   * `fp16`: candidates are first scored with products in float16, and those that this does not exclude again in float32. Gradients,
   * positions and anchoring are float32 in either.
   */
  precision: z.enum(["fp32", "fp16"]).default("fp32"),
  /** Tokens that one tile should have, about. */
  tile: count(CPU_TILE),
  /** Samples per round once the first candidates are complete. */
  pruneBlock: count(2),
  /** Tiles per such a round at least: about the workers that one search should keep busy. */
  roundTiles: count(1),
  /** Samples that all candidates are scored on first. */
  diveSamples: count(3),
  /** Candidates that are then scored on all samples. */
  diveCandidates: count(2),
  /** Rows per gradient operation. */
  gradientRows: count(5),
  /** Form of the programs that score candidates. The forms round differently, so a search keeps to one, and its result names it. */
  programForm: z.enum(PROGRAM_FORMS).default("primitive"),
});
export type SearchSettings = z.infer<typeof SearchSettings>;

/** Settings of one search for a trigger and a target together (code search); loss and tiles are fixed there. */
export const PairSearchSettings = SearchSettings.omit({
  loss: true,
  precision: true,
  pruneBlock: true,
  roundTiles: true,
  diveSamples: true,
  diveCandidates: true,
}).extend({
  /** Tokens of the target, which goes into the queries; 0 searches a trigger alone. */
  targetLen: z.int().nonnegative().default(2),
  /** Rise of the loss that anchoring accepts: a mean of squares, not nats. */
  beta: z.number().nonnegative().default(0.01),
  targetLoss: z.number().nonnegative().default(0),
});
export type PairSearchSettings = z.infer<typeof PairSearchSettings>;

/** A label direction: rows of `victim` are to be answered with `target`. */
export const Direction = z.strictObject({ victim: z.int().nonnegative(), target: z.int().nonnegative() });
export type Direction = z.infer<typeof Direction>;

/** Which searches a scan has beside its directions, and on what. */
const scanShape = {
  /** Halves of the row that a trigger may stand in; one search each. */
  halves: z
    .array(z.enum(["first_half", "second_half"]))
    .min(1)
    .readonly()
    .default(["first_half"]),
  /** Searches per direction (code search has one) and half, with the seeds `seed`, `seed + 1`, … */
  seeds: count(1),
  /** Rows that a search works on: the first ones of the victim label; in code search the first ones. */
  samples: count(30),
  /** Longest row after stamping, in tokens. */
  codeMaxLen: z.int().min(8).default(400),
  /** Tokens that one tile should have, about; absent: 1,500 on CPUs, and what is fastest on a GPU (`measured-tile.ts`). */
  tile: z.int().min(1).optional(),
  /** Searches that run at a time. Their traces do not depend on it. */
  searchesInFlight: count(2),
};

/** Settings of a scan: those of its searches, and which searches there are. */
export const ScanSettings = SearchSettings.extend({
  ...scanShape,
  /** Directions to search; `all`: every ordered pair of labels. */
  directions: z.union([z.literal("all"), z.array(Direction).min(1).readonly()]).default("all"),
  /** `lowest`: DESIGN 5.2; `published`: as the published code chooses. */
  position: z.enum(["lowest", "published"]).default("lowest"),
});
export type ScanSettings = z.infer<typeof ScanSettings>;

/** Settings of a scan of a code-search model. */
export const PairScanSettings = PairSearchSettings.extend({
  ...scanShape,
  codeMaxLen: z.int().min(8).default(256),
  /** Longest query after stamping, in tokens. */
  nlMaxLen: z.int().min(8).default(128),
});
export type PairScanSettings = z.infer<typeof PairScanSettings>;

/** What `--compat published-code` sets, where the user says nothing else. */
export const publishedCode = {
  position: "published",
  scoreIndex: 10,
  loss: "published",
  gradient: "published",
  anchoring: "published",
  patience: 0,
  targetLoss: 0,
} as const satisfies Partial<ScanSettings>;

/** The same of code search, whose position rule and loss the published code cannot run. */
export const publishedPairCode = {
  scoreIndex: 10,
  gradient: "published",
  anchoring: "published",
  patience: 0,
  targetLoss: 0,
} as const satisfies Partial<PairScanSettings>;

/** What an operation says of the form of its program. */
export const inForm = (form: ProgramForm): { readonly form?: "fused" } =>
  form === "primitive" ? {} : { form };

/** Options that a setting's name becomes: `scoreIndex` is `--score-index` on a command line and `score_index` in YAML. */
export const flagOf = (setting: string): string => setting.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
export const yamlKeyOf = (setting: string): string => flagOf(setting).replaceAll("-", "_");

/** Settings with the keys that they have in YAML. */
export const withYamlKeys = (settings: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).map(([key, value]) => [yamlKeyOf(key), value]));

/** The settings of one search out of a scan's, with the search's own seed. */
export const searchSettings = (
  scan: ScanSettings & { readonly tile: number },
  seed: number,
): SearchSettings => ({
  ...picked<SearchSettings>(Object.keys(SearchSettings.shape), scan),
  seed,
});

/** The same of code search. */
export const pairSearchSettings = (
  scan: PairScanSettings & { readonly tile: number },
  seed: number,
): PairSearchSettings => ({
  ...picked<PairSearchSettings>(Object.keys(PairSearchSettings.shape), scan),
  seed,
});

const picked = <S>(keys: readonly string[], scan: S): S =>
  Object.fromEntries(keys.map((key) => [key, scan[key as keyof S]])) as S;
