/** `npm run bench`: measures the named scenarios on this machine, prints medians and spread, and saves the run. */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { load, thisMachine } from "./machine.ts";
import { BenchModels } from "./models.ts";
import { type BenchOptions, readOptions, usage } from "./options.ts";
import { type BenchRun, reportText } from "./report.ts";
import { readDocument, saveRun, writeIntoDocument } from "./save.ts";
import type { Bench } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";
import { startTorch } from "./torch-process.ts";

async function bench(options: BenchOptions): Promise<BenchRun> {
  const say = (text: string): void => void process.stderr.write(`… ${text}\n`);
  const folder = mkdtempSync(join(tmpdir(), "elibad-bench-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  for (const [signal, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.once(signal, () => {
      remove();
      process.exit(status);
    });
  const threads = options.threads ?? availableParallelism();
  const torch =
    options.torch === undefined ? undefined : await startTorch(options.torch, { threads, folder });
  const context: Bench = {
    threads,
    folder,
    ...(torch === undefined ? {} : { torch }),
    models: new BenchModels(folder, say),
    repetitions: (usual) => options.repetitions ?? usual,
    say,
  };
  const startedAt = new Date().toISOString();
  const before = load();
  const done: BenchRun["scenarios"][number][] = [];
  try {
    for (const scenario of options.scenarios) {
      say(scenario.name);
      const started = performance.now();
      // What the others measured is worth keeping: the run goes on, and fails at its end.
      const result = await scenario.run(context).catch((error: Error) => {
        say(`${scenario.name} failed: ${error.message}`);
        process.exitCode = 1;
        return { measurements: [], notes: [`failed: ${error.message}`] };
      });
      done.push({ name: scenario.name, seconds: (performance.now() - started) / 1000, ...result });
    }
  } finally {
    torch?.close();
    remove();
  }
  return {
    startedAt,
    machine: thisMachine(),
    threads,
    ...(torch === undefined ? {} : { torch: torch.about }),
    load: { before, after: load() },
    scenarios: done,
  };
}

function optionsOrExit(): BenchOptions {
  try {
    return readOptions(process.argv.slice(2), scenarios);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

const options = optionsOrExit();
if (options.list) {
  const widest = Math.max(...scenarios.map(({ name }) => name.length));
  for (const { name, about } of scenarios) console.log(`${name.padEnd(widest)}  ${about}`);
} else {
  if (options.document !== undefined) await readDocument(options.document); // a wrong one is known before the long work
  const run = await bench(options);
  console.log(options.json ? JSON.stringify(run, null, 2) : reportText(run));
  const path = await saveRun(run, options.out);
  if (options.document !== undefined) await writeIntoDocument(run, options.document);
  console.error(`saved: ${path}`);
}
