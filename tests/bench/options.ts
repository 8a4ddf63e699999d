import { parseArgs } from "node:util";
import type { Scenario } from "./scenario.ts";

export interface BenchOptions {
  readonly list: boolean;
  readonly json: boolean;
  readonly scenarios: readonly Scenario[];
  /** Absent: each scenario's own number. */
  readonly repetitions?: number;
  readonly threads?: number;
  /** Folder for the saved run. */
  readonly out: string;
  /** Markdown file whose table is to be this run's. */
  readonly document?: string;
  /** Command of a Python with PyTorch, for comparison. */
  readonly torch?: string;
}

export const usage = `npm run bench -- [options]

  --list               names of the scenarios, one a line, and nothing else
  --only <name>        this scenario only (may be given several times)
  --repetitions <n>    measure everything n times instead of each scenario's own number
  --threads <n>        threads of onnxruntime (default: all cores)
  --json               print the run as JSON
  --out <dir>          where the run is saved (default: bench-results)
  --torch <python>     also run the published loop in PyTorch, with this Python, and print ratios; fails where the answers differ
  --document <file>    put the table between the bench marks of this Markdown file`;

/** @throws Error naming the option and its value */
export function readOptions(argv: readonly string[], known: readonly Scenario[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      list: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
      repetitions: { type: "string" },
      threads: { type: "string" },
      json: { type: "boolean", default: false },
      out: { type: "string", default: "bench-results" },
      document: { type: "string" },
      torch: { type: "string" },
    },
  });
  const names = known.map(({ name }) => name);
  const odd = values.only?.find((name) => !names.includes(name));
  if (odd !== undefined) throw new Error(`--only '${odd}': no such scenario; there are ${names.join(", ")}`);
  return {
    list: values.list,
    json: values.json,
    scenarios: known.filter(({ name }) => values.only?.includes(name) ?? true),
    repetitions: wholeNumber("--repetitions", values.repetitions),
    threads: wholeNumber("--threads", values.threads),
    out: values.out,
    document: values.document,
    torch: values.torch,
  };
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${option} '${text}': expected a whole number from 1`);
  return value;
}
