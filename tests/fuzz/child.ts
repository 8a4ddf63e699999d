/** A process that tries inputs: a job a line comes in, an answer a line goes out. It may write into its own folder and nowhere else. */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { printable } from "../../proto/json-text.ts";
import { type EncodedFiles, filesFrom, filesTo } from "./encoded-files.ts";
import { BOX } from "./judge.ts";
import { PROGRESS } from "./parser.ts";
import { knownInputs, parserOf } from "./parsers.ts";
import { runKnown, runSlice, type Slice } from "./session.ts";
import { setTraps } from "./traps.ts";

/** What a child is told to try, and of which parser; `planted` names a bug that the parser gets for it. */
export type Job = { readonly parser: string; readonly planted?: string } & (
  | ({ readonly kind: "slice" } & Slice)
  /** The inputs of the corpus, and those that are too large for it. */
  | { readonly kind: "known" }
  | { readonly kind: "one"; readonly files: EncodedFiles }
);

/** What came of a job. */
export interface Answer {
  readonly runs: number;
  readonly pastHeader: number;
  readonly found?: { readonly parser: string; readonly problem: string; readonly files: EncodedFiles };
  /** Of the last input, where it ended in an error. */
  readonly message?: string;
}

async function main(folder: string): Promise<void> {
  setTraps();
  const progress = openSync(join(folder, PROGRESS), "w");
  const counter = Buffer.alloc(8);
  for await (const line of createInterface({ input: process.stdin })) {
    let begun = 0;
    const at = {
      box: join(folder, BOX),
      onInput: () => {
        counter.writeDoubleLE(++begun);
        writeSync(progress, counter, 0, 8, 0);
      },
    };
    const answer = await answerOf(JSON.parse(line) as Job, at);
    // Readers of lines take U+2028, which may stand in a message, for the end of one.
    process.stdout.write(`${printable(JSON.stringify(answer))}\n`);
  }
}

async function answerOf(
  job: Job,
  at: { readonly box: string; readonly onInput: () => void },
): Promise<Answer> {
  const parser = parserOf(job.parser, job.planted);
  if (job.kind === "slice") {
    const { found, ...counts } = await runSlice(parser, job, at);
    return { ...counts, ...(found && { found: { ...found, files: filesTo(found.files) } }) };
  }
  const inputs = job.kind === "one" ? [filesFrom(job.files)] : knownInputs(parser);
  const { judgements, found } = await runKnown(parser, inputs, at);
  const { message } = judgements.at(-1) ?? {};
  return {
    runs: judgements.length,
    pastHeader: judgements.filter(({ isPastHeader }) => isPastHeader).length,
    ...(found && { found: { ...found, files: filesTo(found.files) } }),
    ...(message !== undefined && { message }),
  };
}

await main(process.argv[2]!);
