/** `npm run test:fuzz`: tries inputs for as long as it is told, or one that was saved. */
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Command } from "commander";
import type { Job } from "./child.ts";
import { readFiles } from "./corpus.ts";
import { filesTo } from "./encoded-files.ts";
import { explained, fuzz, table } from "./fuzz.ts";
import { PARSERS, parserOf } from "./parsers.ts";

interface Options {
  readonly seconds: string;
  readonly parser?: string;
  readonly seed?: string;
  readonly input?: string;
}

const SLICE = 500;

async function main({ seconds, parser, seed, input }: Options): Promise<number> {
  const names = parser?.split(",") ?? PARSERS.map(({ name }) => name);
  for (const name of names) parserOf(name);
  const jobs: Job[] =
    input === undefined
      ? names.map((name) => ({ kind: "known", parser: name }))
      : [{ kind: "one", parser: names[0]!, files: filesTo(readFiles(resolve(input))) }];
  const until = performance.now() + 1_000 * Number(seconds);
  let next = seed === undefined ? randomInt(2 ** 31) : Number(seed);
  console.log(`first seed ${next}`);
  let turn = 0;
  const outcome = await fuzz(
    () => {
      if (jobs.length > 0 || input !== undefined || performance.now() > until) return jobs.shift();
      return { kind: "slice", parser: names[turn++ % names.length]!, seed: next++, runs: SLICE };
    },
    { children: input === undefined ? availableParallelism() : 1, shrinkMs: 60_000 },
  );
  console.log(input === undefined ? table(outcome) : (outcome.lastMessage ?? "read without an error"));
  for (const found of outcome.found) console.log(`\n${explained(found)}`);
  return outcome.found.length === 0 ? 0 : 1;
}

const program = new Command("npm run test:fuzz --")
  .option("--seconds <n>", "how long", "60")
  .option("--parser <names>", `some of ${PARSERS.map(({ name }) => name).join(",")}`)
  .option("--seed <n>", "the first seed; others follow it")
  .option("--input <folder>", "tries this input of one parser and nothing else")
  .action(async (options: Options) => {
    process.exitCode = await main(options);
  });
await program.parseAsync();
