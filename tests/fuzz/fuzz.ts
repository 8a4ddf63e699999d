/** Tries many inputs of many parsers, in children that are watched. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Answer, Job } from "./child.ts";
import { saveFound } from "./corpus.ts";
import { filesFrom, filesTo } from "./encoded-files.ts";
import { type Death, FuzzChild } from "./fuzz-child.ts";
import type { Files, Parser } from "./parser.ts";
import { knownInputs, parserOf } from "./parsers.ts";
import { type Found, inputOf } from "./session.ts";

/** What came of a parser's jobs together. */
export interface Tally {
  readonly runs: number;
  readonly pastHeader: number;
}

export interface FuzzOutcome {
  readonly tallies: ReadonlyMap<string, Tally>;
  /** At most one of each parser. */
  readonly found: readonly Found[];
  /** Of the last input that ended in an error. */
  readonly lastMessage: string | undefined;
}

export interface FuzzSettings {
  /** Children at a time. */
  readonly children: number;
  /** How long an input that ends a child is made smaller, in milliseconds. */
  readonly shrinkMs: number;
}

const isDeath = (end: Answer | Death): end is Death => "index" in end;

/** A file system in memory, where there is one: inputs come and go a thousand times a second. */
const MEMORY = "/dev/shm";

/** @param next gives jobs one after the other, none when it is enough */
export async function fuzz(
  next: () => Job | undefined,
  { children, shrinkMs }: FuzzSettings = { children: 2, shrinkMs: 30_000 },
): Promise<FuzzOutcome> {
  const root = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "elibad-fuzz-"));
  const tallies = new Map<string, Tally>();
  const found = new Map<string, Found>();
  let started = 0;
  let lastMessage: string | undefined;
  const folders: string[] = [];
  const newChild = (): FuzzChild => {
    const name = `child-${started++}`;
    folders.push(name);
    return new FuzzChild(join(root, name));
  };

  const lane = async (): Promise<void> => {
    let child = newChild();
    try {
      for (let job = next(); job !== undefined; job = next()) {
        if (found.has(job.parser)) continue;
        const end = await child.run({ ...job, ...(job.kind === "slice" && { shrinkMs }) });
        if (isDeath(end)) {
          child.close();
          found.set(job.parser, await smallest(job, end, { newChild, shrinkMs }));
          child = newChild();
          continue;
        }
        lastMessage = end.message;
        if (end.found) found.set(job.parser, { ...end.found, files: filesFrom(end.found.files) });
        const { runs, pastHeader } = tallies.get(job.parser) ?? { runs: 0, pastHeader: 0 };
        if (job.kind === "slice")
          tallies.set(job.parser, { runs: runs + end.runs, pastHeader: pastHeader + end.pastHeader });
      }
    } finally {
      child.close();
    }
  };

  try {
    await Promise.all(Array.from({ length: children }, lane));
    const strays = readdirSync(root).filter((name) => !folders.includes(name));
    if (strays.length > 0) throw new Error(`a parser wrote outside of its folder: ${strays.join(", ")}`);
  } finally {
    rmSync(root, { recursive: true, force: true, maxRetries: 3 });
  }
  return { tallies, found: [...found.values()], lastMessage };
}

/** The input that a child ended with, made smaller for as long as smaller ones end theirs. */
async function smallest(
  job: Job,
  { index, problem }: Death,
  { newChild, shrinkMs }: { readonly newChild: () => FuzzChild; readonly shrinkMs: number },
): Promise<Found> {
  const parser = parserOf(job.parser, job.planted);
  const result = (files: Files, told: string): Found => ({ parser: parser.name, problem: told, files });
  if (job.kind === "one") return result(filesFrom(job.files), problem);
  if (job.kind === "known") return result(knownInputs(parser)[Math.max(0, index)] ?? {}, problem);
  const { planted, seed, runs } = job;
  const path = String(Math.max(0, index));
  const first = await inputOf(parser, job, Number(path));
  if (shrinkMs === 0) return result(first, problem);
  const until = performance.now() + shrinkMs;
  const property = fc.asyncProperty(parser.inputs, async (files) => {
    if (performance.now() > until) return;
    const told = await problemOf(files, { parser, planted, newChild });
    if (told !== undefined) throw new Error(told);
  });
  const { counterexample, errorInstance } = await fc.check(property, { seed, path, numRuns: runs });
  if (counterexample === null) return result(first, `${problem} (not when it is tried alone)`);
  return result(counterexample[0], (errorInstance as Error).message);
}

/** What is wrong with how an input ends, in a child of its own; undefined where nothing is. */
async function problemOf(
  files: Files,
  {
    parser,
    planted,
    newChild,
  }: { readonly parser: Parser; readonly planted: string | undefined; readonly newChild: () => FuzzChild },
): Promise<string | undefined> {
  const child = newChild();
  try {
    const end = await child.run({
      kind: "one",
      parser: parser.name,
      files: filesTo(files),
      ...(planted !== undefined && { planted }),
    });
    return isDeath(end) ? end.problem : end.found?.problem;
  } finally {
    child.close();
  }
}

/** Saves what was found, and says what it is and how to try it again. */
export function explained({ parser, problem, files }: Found): string {
  const folder = saveFound(parser, files);
  const sizes = Object.entries(files).map(([name, bytes]) => `${name} (${bytes.length} bytes)`);
  return [
    `parser ${parser}: an input ${problem}`,
    `  ${sizes.join(", ")}`,
    `again: npm run test:fuzz -- --parser ${parser} --input ${folder}`,
  ].join("\n");
}

/** A line for each parser. */
export const table = ({ tallies }: FuzzOutcome): string =>
  [...tallies]
    .map(([name, { runs, pastHeader }]) => {
      const share = ((100 * pastHeader) / runs).toFixed(0);
      return `${name.padEnd(16)}${String(runs).padStart(8)} inputs, ${share.padStart(3)} % past the header`;
    })
    .join("\n");
