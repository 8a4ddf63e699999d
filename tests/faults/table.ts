import type { Reporter, TestCase, TestModule } from "vitest/node";

interface Row {
  readonly fault: string;
  readonly outcome: string;
  readonly seconds: string;
  readonly cost: string;
}

/** Prints, at the end of `npm run test:faults`, how long each fault took and what it cost. */
export default class FaultTable implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = modules
      .flatMap((module) => [...module.children.allTests()])
      .filter((test) => test.result().state !== "skipped")
      .sort((a, b) => numberOf(a.name) - numberOf(b.name))
      .map(rowOf);
    const widths = { fault: 0, outcome: 0, seconds: 0 };
    for (const row of rows)
      for (const key of Object.keys(widths) as (keyof typeof widths)[])
        widths[key] = Math.max(widths[key], row[key].length);
    for (const { fault, outcome, seconds, cost } of rows) {
      const cells = [fault.padEnd(widths.fault), outcome.padEnd(widths.outcome)];
      process.stdout.write(`${[...cells, seconds.padStart(widths.seconds), cost].join("  ")}\n`);
    }
  }
}

const rowOf = (test: TestCase): Row => ({
  fault: test.name,
  outcome: test.result().state,
  seconds: `${((test.diagnostic()?.duration ?? 0) / 1_000).toFixed(1)} s`,
  cost: test.meta().cost ?? "",
});

/** Tests that are of no fault come last. */
const numberOf = (name: string): number => Number(/^\d+/.exec(name)?.[0] ?? 99);
