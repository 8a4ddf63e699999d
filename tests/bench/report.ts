import { table } from "../../coordinator/cli/table.ts";
import type { Machine } from "./machine.ts";
import type { Measurement, ScenarioResult } from "./scenario.ts";
import { summarise } from "./statistics.ts";

/** One run of the bench: what is saved, and what a report is made of. */
export interface BenchRun {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly threads: number;
  /** PyTorch's version and libraries, where the published loop was run beside. */
  readonly torch?: string;
  /** Load average before and after; a load that is not the bench's own makes times larger, ratios less so. */
  readonly load: { readonly before: number; readonly after: number };
  readonly scenarios: readonly ({ readonly name: string; readonly seconds: number } & ScenarioResult)[];
}

const HEADER = ["", "median", "p10 – p90", "unit", "n", "target"];

/** For a person at a terminal. */
export const reportText = (run: BenchRun): string =>
  [
    machineLine(run),
    ...run.scenarios.map(({ name, seconds, measurements, notes }) =>
      [
        `${name} (${seconds.toFixed(0)} s)`,
        ...notes.map((note) => `  ${note}`),
        ...table([HEADER, ...measurements.map(cells)])
          .split("\n")
          .map((line) => `  ${line}`),
      ].join("\n"),
    ),
  ].join("\n\n");

/** The same as one Markdown table, for docs/performance.md. */
export const reportMarkdown = (run: BenchRun): string =>
  [
    `${run.startedAt.slice(0, 10)}. ${machineLine(run)}.`,
    markdownTable([
      ["scenario", ...HEADER],
      ...run.scenarios.flatMap(({ name, measurements }) =>
        measurements.length === 0
          ? [[name, "failed, see below", ...HEADER.slice(1).map(() => "")]]
          : measurements.map((measurement, k) => [k === 0 ? name : "", ...cells(measurement)]),
      ),
    ]),
    run.scenarios
      .filter(({ notes }) => notes.length > 0)
      .map(({ name, notes }) => `- ${name}: ${notes.join("; ")}.`)
      .join("\n"),
  ].join("\n\n");

/** Columns as wide as their widest cell, as the formatter wants them; the first row is the header. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const [header, ...body] = rows.map(line);
  return [header, line(widths.map((width) => "-".repeat(width))), ...body].join("\n");
}

function machineLine({ machine, threads, torch, load }: BenchRun): string {
  const { cpu, cores, memoryGiB, system, node, onnxruntime, elibad } = machine;
  const versions = `elibad ${elibad}, onnxruntime-node ${onnxruntime}, Node ${node}, ${system}`;
  const loads = `load ${load.before.toFixed(1)} before, ${load.after.toFixed(1)} after`;
  const beside = torch === undefined ? "" : `; ${torch}`;
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB; ${threads} threads; ${versions}${beside}; ${loads}`;
}

function cells({ name, unit, values, target }: Measurement): string[] {
  const { median, low, high } = summarise(values);
  return [
    name,
    shown(median),
    `${shown(low)} – ${shown(high)}`,
    unit,
    String(values.length),
    target === undefined ? "" : verdict(target, median),
  ];
}

function verdict({ bound, value }: NonNullable<Measurement["target"]>, median: number): string {
  const met = bound === "at least" ? median >= value : median <= value;
  return `${bound === "at least" ? "≥" : "≤"} ${value}: ${met ? "met" : "missed"}`;
}

/** Three significant digits, without exponents. */
const shown = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
