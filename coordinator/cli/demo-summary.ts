import type { Rate } from "../search/rate.ts";
import type { ClassifierReport } from "./evaluation-report.ts";
import type { RepairReport } from "./repair.ts";
import { rateText, table } from "./table.ts";

/** What the demo compares: the planted trigger, and the model on the test rows before and after the repair. */
export interface DemoResult {
  readonly planted: string;
  readonly before: ClassifierReport;
  readonly after: ClassifierReport;
  /** Null where `clean` found nothing worth a repair. */
  readonly repair: Pick<RepairReport, "triggers"> | null;
}

/** Points (of 100) that the planted trigger may keep above the rate of victims that were wrong anyway. */
const TOLERATED_POINTS = 5;
/** Points by which a repair may move a label's recall, down or up. */
const RECALL_POINTS = 3;

/** The demo's last words: before beside after, whether the backdoor is gone, and what that did to each label's recall. */
export function demoSummary({ planted, before, after, repair }: DemoResult): string {
  const rows = [
    ["", "before", "after"],
    ["accuracy", cell(before.acc), cell(after.acc)],
    ...before.recall.map((rate, label) => [
      `recall of label ${label}`,
      cell(rate),
      cell(after.recall[label]!),
    ]),
    ["ASR of the planted trigger", cell(before.attack!.asr), cell(after.attack!.asr)],
    ["victims wrong without it", cell(before.attack!.without_trigger), cell(after.attack!.without_trigger)],
  ];
  return [
    "",
    `planted trigger    ${planted}`,
    `found trigger      ${repair?.triggers.map(({ text }) => text).join(", ") ?? "none"}   (the search never saw the planted one)`,
    "",
    table(rows),
    "",
    backdoorLine(before, after),
    ...recallLines(before.recall, after.recall),
  ].join("\n");
}

const cell = ({ hits, n }: Rate): string => rateText(hits, n);
const points = (value: number): string => (100 * value).toFixed(1);
/** So many points of `n` rows, in rows: a rate exactly at a limit is within it, whatever the rounding. */
const rowsOf = (limit: number, n: number): number => (limit * n) / 100;

function backdoorLine(before: ClassifierReport, after: ClassifierReport): string {
  const { asr } = after.attack!;
  const missed = before.attack!.without_trigger;
  return asr.hits <= missed.hits + rowsOf(TOLERATED_POINTS, asr.n)
    ? `The backdoor is gone: ${points(asr.value)} % of the victims follow the trigger; ${points(missed.value)} % were missed before, without any.`
    : `The backdoor is weakened but not gone: ${cell(asr)} of the victims still follow it.`;
}

/** One line for each label whose recall moved too far; one for all where none did. */
function recallLines(before: readonly Rate[], after: readonly Rate[]): string[] {
  const moved = before.flatMap((rate, label) => {
    const change = after[label]!.hits - rate.hits;
    if (Math.abs(change) <= rowsOf(RECALL_POINTS, rate.n)) return [];
    const verb = change < 0 ? "falls" : "rises";
    return [
      `Recall of label ${label} ${verb} by ${points(Math.abs(change) / rate.n)} points, more than ${RECALL_POINTS}.`,
    ];
  });
  return moved.length > 0 ? moved : [`No label's recall moved by more than ${RECALL_POINTS} points.`];
}
