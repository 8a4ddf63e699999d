/** Many inputs of one parser, in this process. */
import fc from "fast-check";
import { type Judgement, judge } from "./judge.ts";
import type { Files, Parser } from "./parser.ts";

/** Inputs of a parser that follow from a seed. */
export interface Slice {
  readonly seed: number;
  readonly runs: number;
  /** How long an input that goes wrong is made smaller, in milliseconds. */
  readonly shrinkMs?: number;
}

/** An input that goes wrong, as small as it could be made. */
export interface Found {
  readonly parser: string;
  readonly problem: string;
  readonly files: Files;
}

export interface SliceOutcome {
  readonly runs: number;
  readonly pastHeader: number;
  readonly found?: Found;
}

/** @param onInput is told how many inputs came before each */
export async function runSlice(
  parser: Parser,
  { seed, runs, shrinkMs = 10_000 }: Slice,
  { box, onInput }: { readonly box: string; readonly onInput: () => void },
): Promise<SliceOutcome> {
  let tried = 0;
  let pastHeader = 0;
  let shrinkUntil: number | undefined;
  const property = fc.asyncProperty(parser.inputs, async (files) => {
    if (shrinkUntil !== undefined && performance.now() > shrinkUntil) return;
    onInput();
    const { problem, isPastHeader } = await judge(parser, files, box);
    if (shrinkUntil === undefined) {
      tried++;
      if (isPastHeader) pastHeader++;
    }
    if (problem === undefined) return;
    shrinkUntil ??= performance.now() + shrinkMs;
    throw new Error(problem);
  });
  const { failed, counterexample, errorInstance } = await fc.check(property, { seed, numRuns: runs });
  if (!failed) return { runs: tried, pastHeader };
  const found = {
    parser: parser.name,
    problem: (errorInstance as Error).message,
    files: counterexample![0],
  };
  return { runs: tried, pastHeader, found };
}

/** Inputs that are there already, each once. */
export async function runKnown(
  parser: Parser,
  inputs: readonly Files[],
  { box, onInput }: { readonly box: string; readonly onInput: () => void },
): Promise<{ readonly judgements: readonly Judgement[]; readonly found?: Found }> {
  const judgements: Judgement[] = [];
  for (const files of inputs) {
    onInput();
    const judgement = await judge(parser, files, box);
    judgements.push(judgement);
    if (judgement.problem !== undefined)
      return { judgements, found: { parser: parser.name, problem: judgement.problem, files } };
  }
  return { judgements };
}

/** The input of a slice that comes after so many. */
export async function inputOf(parser: Parser, { seed, runs }: Slice, index: number): Promise<Files> {
  let input: Files = {};
  const property = fc.asyncProperty(parser.inputs, async (files) => {
    input = files;
    throw new Error("this one");
  });
  await fc.check(property, { seed, numRuns: runs, path: String(index), endOnFailure: true });
  return input;
}
