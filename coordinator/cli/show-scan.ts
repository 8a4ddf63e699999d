import type { ScanResult } from "../search/scan-result.ts";
import { rateText, table } from "./table.ts";

/** A scan's result as a person reads it: one line a search. */
export function scanTable(result: ScanResult): string {
  const rows = result.searches.map((search) => [
    `${search.victim_label}→${search.target_label}`,
    search.half,
    search.trigger?.text ?? "none",
    search.loss === null ? "–" : search.loss.toFixed(4),
    search.asr === null ? "–" : rateText(search.asr.samples.hits, search.asr.samples.n),
    search.asr === null ? "–" : rateText(search.asr.held_out.hits, search.asr.held_out.n),
    rateText(search.without_trigger.held_out.hits, search.without_trigger.held_out.n),
    search.anchored?.text || "–",
  ]);
  return [
    table([
      [
        "direction",
        "half",
        "trigger",
        "loss",
        "flips samples",
        "flips held-out",
        "without trigger",
        "anchored",
      ],
      ...rows,
    ]),
    `${result.seconds.toFixed(1)} s. Found triggers are reported, not judged: clean models have invertible triggers too.`,
  ].join("\n");
}
