import type { BenchModels } from "./models.ts";
import type { TorchProcess } from "./torch-process.ts";

/** A number that DESIGN section 12 asks for. */
export interface Target {
  readonly bound: "at least" | "at most";
  readonly value: number;
}

/** One quantity, measured once per repetition. */
export interface Measurement {
  readonly name: string;
  /** "ms", "forwards/s", "%", "×" (a ratio of two quantities of the same repetition) … */
  readonly unit: string;
  readonly values: readonly number[];
  readonly target?: Target;
}

export interface ScenarioResult {
  readonly measurements: readonly Measurement[];
  /** What a reader has to know of this run: which model, what was left out. */
  readonly notes: readonly string[];
}

/** What scenarios run with. */
export interface Bench {
  /** Threads of onnxruntime. */
  readonly threads: number;
  /** For files of this run; removed when it ends. */
  readonly folder: string;
  readonly models: BenchModels;
  /** The published loop in PyTorch, where it is to be compared with. */
  readonly torch?: TorchProcess;
  /** How often to measure, after one run to warm up: what the user asked for, else `usual`. */
  repetitions(usual: number): number;
  /** Tells a person who waits what is being done. */
  say(text: string): void;
}

/** A named piece of the bench. To add one: a file that exports it, and a line in `scenarios.ts`. */
export interface Scenario {
  readonly name: string;
  /** One line for `--list`. */
  readonly about: string;
  /** Rejects where a result is wrong, not where it is slow. */
  run(bench: Bench): Promise<ScenarioResult>;
}
