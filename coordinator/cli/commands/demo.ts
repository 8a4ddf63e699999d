import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { packageRoot } from "../../../proto/package-root.ts";
import { demoTrigger, planDemo } from "../../demo/plan.ts";
import { type CommandContext, defineCommand } from "../command.ts";
import { demoSummary } from "../demo-summary.ts";
import { Interrupted } from "../errors.ts";
import type { ClassifierReport } from "../evaluation-report.ts";
import { option, optionalPath, wholeNumber } from "../options.ts";
import { requireFreshFolder } from "../output.ts";
import type { RepairReport } from "../repair.ts";

/** A command of the demo ended badly; it has said why. */
class StageFailed extends Error {
  override readonly name = "StageFailed";
}

export const demo = defineCommand({
  name: "demo",
  summary: "make a small backdoored model, scan it, repair it, and compare: everything on this machine",
  help: `
Plants a trigger in a small data set that comes with elibad, trains a model on it, lets "elibad clean" find and remove the backdoor without telling it the
trigger, and prints before and after. Takes about two minutes on two cores; the output folder is kept.

  elibad demo
  elibad demo --seed 3 --out my-demo`,
  options: {
    seed: option(
      "--seed <n>",
      "another seed plants another trigger and trains another model",
      wholeNumber(1, 2 ** 31).default(1),
    ),
    workers: option("--workers <n>", "worker processes", wholeNumber(1, 64).default(2)),
    out: optionalPath(
      "--out <dir>",
      "new folder for everything that is made",
      "elibad-demo-1, or the next free number",
    ),
  },
  async run(options, context) {
    const out = options.out ?? freeFolder();
    requireFreshFolder(out);
    mkdirSync(out, { recursive: true });
    const started = performance.now();
    const plan = planDemo(options.seed, { out, workers: options.workers });
    for (const [k, { title, args }] of plan.stages.entries()) {
      context.display.line(
        `\n[${k + 1}/${plan.stages.length}] ${title}\n$ elibad ${args.map(shorten).join(" ")}`,
      );
      await runStage(args, context);
    }
    const read = <T>(file: string): T => JSON.parse(readFileSync(file, "utf8")) as T;
    process.stdout.write(
      `${demoSummary({
        planted: demoTrigger(options.seed),
        before: read<ClassifierReport>(plan.before),
        after: read<ClassifierReport>(plan.after),
        repair: existsSync(plan.repair) ? read<{ repair: RepairReport }>(plan.repair).repair : null,
      })}\n${((performance.now() - started) / 1000).toFixed(0)} s in all. Everything is in ${relative(".", out) || "."}/\n`,
    );
  },
});

/** Paths of the package and of this folder as a person would type them. */
const shorten = (arg: string): string => (arg.startsWith(packageRoot) ? relative(".", arg) || "." : arg);

function freeFolder(): string {
  for (let k = 1; ; k++) if (!existsSync(`elibad-demo-${k}`)) return `elibad-demo-${k}`;
}

/** Runs one command of elibad in a process of its own, on this terminal. */
function runStage(args: readonly string[], { signal }: CommandContext): Promise<void> {
  return new Promise((done, failed) => {
    const entry = join(packageRoot, "coordinator", "cli", "elibad.mjs");
    const child: ChildProcess = spawn(process.execPath, [entry, ...args], { stdio: "inherit" });
    const stop = (): void => void child.kill("SIGTERM");
    signal.addEventListener("abort", stop, { once: true });
    child.once("error", failed);
    child.once("exit", (code, killedBy) => {
      signal.removeEventListener("abort", stop);
      if (signal.aborted) failed(new Interrupted());
      else if (code === 0) done();
      else failed(new StageFailed(`'elibad ${args[0]}' ended with ${killedBy ?? `exit code ${code}`}`));
    });
  });
}
