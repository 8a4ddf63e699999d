/** Results of a sweep's jobs as a table, as CSV and as JSON. */
import type { JobResultMessage } from "../../proto/sweep-messages.ts";
import type { Measured } from "./measure-repair.ts";
import { stateText } from "./show-sweep.ts";
import type { CleanJobReport } from "./sweep-work.ts";
import { rateText, table } from "./table.ts";

type Search = CleanJobReport["searches"][number];

const reportOf = ({ reportJson }: JobResultMessage): CleanJobReport | undefined =>
  reportJson === "" ? undefined : (JSON.parse(reportJson) as CleanJobReport);

/** Everything that the coordinator knows: of each job its state, and its report where it is done. */
export const resultsJson = (sweep: string, results: readonly JobResultMessage[]) => ({
  sweep,
  jobs: results.map((result) => ({
    name: result.job.name,
    model: result.job.model,
    state: result.job.phase,
    attempt: result.job.attempt,
    reason: result.job.reason === "" ? null : result.job.reason,
    report: reportOf(result) ?? null,
  })),
});

/** A line for each search of each job. */
export function resultsTable(results: readonly JobResultMessage[]): string {
  const rows = results.flatMap((result) => {
    const report = reportOf(result);
    const head = [result.job.name, stateText(result.job)];
    if (report === undefined) return [[...head, ...Array<string>(6).fill("–")]];
    return report.searches.map((search) => [
      ...head,
      directionOf(search),
      textOf(search),
      effectOf(search),
      search.anchored?.text || "–",
      afterRepair(search, report),
      qualityOf(report),
    ]);
  });
  const headings = [
    ...["job", "state", "search", "trigger", "on held-out rows", "anchored"],
    ...["after repair", "quality"],
  ];
  return [
    table([headings, ...rows]),
    "Found triggers are reported, not judged: clean models have invertible triggers too.",
  ].join("\n");
}

const directionOf = (search: Search): string => {
  const place = `${search.half}, seed ${search.seed}`;
  return "victim_label" in search ? `${search.victim_label}→${search.target_label}, ${place}` : place;
};

const textOf = (search: Search): string =>
  search.trigger === null
    ? "none"
    : "target" in search && search.target?.text
      ? `${search.trigger.text} / ${search.target.text}`
      : search.trigger.text;

/** `98/102 (96.1 %), 9/102 (8.8 %) without`, in code search the rank. */
function effectOf(search: Search): string {
  if ("anr" in search) {
    const rank = search.anr?.held_out;
    return rank?.anr == null
      ? "–"
      : `ANR ${rank.anr.toFixed(3)}, ${rank.without_trigger!.toFixed(3)} without`;
  }
  if (search.asr === null) return "–";
  const [with_, without] = [search.asr.held_out, search.without_trigger.held_out];
  return `flips ${rateText(with_.hits, with_.n)}, ${rateText(without.hits, without.n)} without`;
}

/** What the trigger does to the repaired model, where it was unlearned. */
function afterRepair(search: Search, { repair, after }: CleanJobReport): string {
  if (repair === null || after === null || search.trigger === null) return "no repair";
  const measured = measuredTrigger(search, after);
  if (measured === undefined) return "–";
  if ("asr" in measured) return `flips ${rateText(measured.asr.hits, measured.asr.n)}`;
  return measured.anr === null ? "–" : `ANR ${measured.anr.toFixed(3)}`;
}

function measuredTrigger(search: Search, after: Measured) {
  const { text } = search.trigger!;
  if ("acc" in after)
    return after.triggers.find(
      (each) =>
        each.text === text &&
        "victim_label" in search &&
        each.victim_label === search.victim_label &&
        each.target_label === search.target_label,
    );
  return after.triggers.find((each) => each.text === text);
}

/** `ACC 0.959 → 0.959`. */
function qualityOf({ before, after }: CleanJobReport): string {
  if (before === null || after === null) return "–";
  const [name] = "acc" in before ? ["ACC"] : ["MRR"];
  return `${name} ${qualityNumber(before).toFixed(3)} → ${qualityNumber(after).toFixed(3)}`;
}

const qualityNumber = (measured: Measured): number => ("acc" in measured ? measured.acc.value : measured.mrr);

type Cell = string | number | boolean | null | undefined;

/** Columns of the CSV: of each, what stands in it for a search of a job, or for a job without any. */
const COLUMNS: readonly (readonly [string, (of: Line) => Cell])[] = [
  ["sweep", ({ sweep }) => sweep],
  ["job", ({ job }) => job.name],
  ["model", ({ job }) => job.model],
  ["state", ({ job }) => job.phase],
  ["attempt", ({ job }) => job.attempt],
  ["reason", ({ job }) => job.reason],
  ["search", ({ search }) => search?.search],
  ["victim_label", ({ search }) => (search && "victim_label" in search ? search.victim_label : null)],
  ["target_label", ({ search }) => (search && "target_label" in search ? search.target_label : null)],
  ["half", ({ search }) => search?.half],
  ["seed", ({ search }) => search?.seed],
  ["steps", ({ search }) => search?.steps],
  ["ended", ({ search }) => search?.ended],
  ["trigger", ({ search }) => search?.trigger?.text],
  ["trigger_ids", ({ search }) => search?.trigger?.ids.join(" ")],
  ["target", ({ search }) => (search && "target" in search ? search.target?.text : null)],
  ["loss", ({ search }) => search?.loss],
  ["anchored", ({ search }) => search?.anchored?.text],
  ["held_out_hits", ({ search }) => (search && "asr" in search ? search.asr?.held_out.hits : null)],
  ["held_out_rows", ({ search }) => (search && "asr" in search ? search.asr?.held_out.n : null)],
  [
    "held_out_hits_without_trigger",
    ({ search }) => (search && "asr" in search ? search.without_trigger.held_out.hits : null),
  ],
  ["held_out_anr", ({ search }) => (search && "anr" in search ? search.anr?.held_out.anr : null)],
  ["repair_plan", ({ report }) => report?.repair?.plan],
  ["repair_stage", ({ report }) => report?.repair?.stage],
  ["triggers_dead", ({ report }) => report?.repair?.triggers_dead],
  ["quality_before", ({ report }) => report?.before && qualityNumber(report.before)],
  ["quality_after", ({ report }) => report?.after && qualityNumber(report.after)],
  ["hits_after_repair", (of) => repairedRate(of)?.hits],
  ["rows_after_repair", (of) => repairedRate(of)?.n],
  ["folder", ({ report }) => report?.folder],
];

interface Line {
  readonly sweep: string;
  readonly job: JobResultMessage["job"];
  readonly report: CleanJobReport | undefined;
  readonly search: Search | undefined;
}

function repairedRate({ search, report }: Line) {
  if (!report?.after || !search?.trigger) return undefined;
  const measured = measuredTrigger(search, report.after);
  return measured !== undefined && "asr" in measured ? measured.asr : undefined;
}

/** The same with every number, as RFC 4180 has it. */
export function resultsCsv(sweep: string, results: readonly JobResultMessage[]): string {
  const lines = results.flatMap((result): Line[] => {
    const report = reportOf(result);
    const searches = report === undefined || report.searches.length === 0 ? [undefined] : report.searches;
    return searches.map((search) => ({ sweep, job: result.job, report, search }));
  });
  return [
    COLUMNS.map(([name]) => name).join(","),
    ...lines.map((line) => COLUMNS.map(([, cell]) => csvCell(cell(line))).join(",")),
  ].join("\n");
}

function csvCell(value: Cell): string {
  const text = value == null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
