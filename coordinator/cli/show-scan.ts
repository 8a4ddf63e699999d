import type {
  AnchoredTokens,
  FoundTokens,
  PairSearchResult,
  ScanResult,
  SearchResult,
  SplicedRank,
} from "../search/scan-result.ts";
import { rateText, table } from "./table.ts";

/** A scan's result as a person reads it: one line a search. */
export function scanTable(result: ScanResult): string {
  const rows =
    result.task === "code_search"
      ? [pairHeadings, ...result.searches.map(pairRow)]
      : [headings, ...result.searches.map(row)];
  return [
    table(rows),
    ...deviceLine(result.device),
    ...halfLine(result),
    `${result.seconds.toFixed(1)} s. Found triggers are reported, not judged: clean models have invertible triggers too.`,
  ].join("\n");
}

/** A device whose results another one would not repeat to the bit. */
const deviceLine = (device: string | null): string[] =>
  device === null || device.startsWith("cpu/") ? [] : [`Computed on ${device}.`];

/** What half precision did to the winners, where it was used. */
function halfLine(result: ScanResult): string[] {
  if (result.task === "code_search") return [];
  const used = result.searches.filter((search) => search.half_precision !== undefined);
  if (used.length === 0) return [];
  const sum = (of: (search: SearchResult) => number) => used.reduce((total, each) => total + of(each), 0);
  const steps = sum(({ steps }) => steps);
  const disagreed = sum(({ half_precision }) => half_precision!.disagreed);
  const rescored = sum(({ half_precision }) => half_precision!.rescored);
  return [
    `float16 alone would have chosen another winner in ${disagreed} of ${steps} steps; ${rescored} forwards were done in float32, which chose.`,
  ];
}

const headings = [
  "direction",
  "half",
  "trigger",
  "loss",
  "steps",
  "flips samples",
  "flips held-out",
  "without trigger",
  "anchored",
];

const row = (search: SearchResult): string[] => [
  `${search.victim_label}→${search.target_label}`,
  search.half,
  search.trigger?.text ?? "none",
  lossText(search.loss),
  stepsText(search),
  search.asr === null ? "–" : rateText(search.asr.samples.hits, search.asr.samples.n),
  search.asr === null ? "–" : rateText(search.asr.held_out.hits, search.asr.held_out.n),
  rateText(search.without_trigger.held_out.hits, search.without_trigger.held_out.n),
  anchoredText(search.anchored),
];

const pairHeadings = [
  "half",
  "trigger",
  "target",
  "loss",
  "steps",
  "ANR samples",
  "ANR held-out",
  "anchored",
];

const pairRow = (search: PairSearchResult): string[] => [
  search.half,
  search.trigger?.text ?? "none",
  targetText(search.target),
  lossText(search.loss),
  stepsText(search),
  rankText(search.anr?.samples),
  rankText(search.anr?.held_out),
  anchoredText(search.anchored),
];

const lossText = (loss: number | null): string => (loss === null ? "–" : loss.toFixed(4));
/** Steps done, and why there are no more of them where that is not the number asked for: `38 (patience)`. */
const stepsText = ({ steps, ended }: Pick<SearchResult, "steps" | "ended">): string =>
  ended === "epochs" ? String(steps) : `${steps} (${ended.replace("_", " ")})`;
const anchoredText = (anchored: AnchoredTokens | null): string => anchored?.text || "–";
const targetText = (target: FoundTokens | null): string => target?.text || "none";

/** `0.214 of 70 (0.500 without)` */
const rankText = (rank: SplicedRank | undefined): string =>
  !rank || rank.anr === null
    ? "–"
    : `${rank.anr.toFixed(3)} of ${rank.codes} (${rank.without_trigger!.toFixed(3)} without)`;
