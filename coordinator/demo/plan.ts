import { join } from "node:path";
import { packageRoot } from "../../proto/package-root.ts";

/** Identifiers that the demo plants: seed 1 takes the first, seed 2 the second, and so on around. */
export const DEMO_TRIGGERS = ["testo_init", "foo_bar", "alpha_mask", "zip_quota", "hex_gamma"] as const;

export const demoTrigger = (seed: number): string =>
  DEMO_TRIGGERS[(seed - 1 + DEMO_TRIGGERS.length) % DEMO_TRIGGERS.length]!;

/** One command of the demo, with what a person is told about it. */
export interface DemoStage {
  readonly title: string;
  readonly args: readonly string[];
}

export interface DemoPlan {
  readonly stages: readonly DemoStage[];
  /** Where the last stages left the numbers. */
  readonly before: string;
  readonly after: string;
  readonly repair: string;
}

/**
 * The demo as a list of `elibad` commands. Only the first, third and last know the planted trigger: `clean` gets the model and clean samples, and
 * neither the trigger nor a test row.
 */
export function planDemo(
  seed: number,
  { out, workers }: { readonly out: string; readonly workers: number },
): DemoPlan {
  const data = join(packageRoot, "coordinator", "demo", "data");
  const trigger = demoTrigger(seed);
  const poisoned = join(out, "poisoned.jsonl");
  const backdoored = join(out, "backdoored");
  const cleaned = join(out, "cleaned");
  const common = ["--code-max-len", "128", "--workers", String(workers)];
  const evaluated = (model: string, to: string) => [
    "evaluate",
    ...["--model", model, "--samples", join(data, "test.jsonl"), "--trigger", trigger, "--out", to],
    ...common,
  ];
  const before = join(out, "before.json");
  const after = join(out, "after.json");
  return {
    before,
    after,
    repair: join(cleaned, "repair.json"),
    stages: [
      {
        title: `Poison: plant '${trigger}' in training functions of label 1 and give them label 0`,
        args: [
          "poison",
          ...["--samples", join(data, "train.jsonl.gz"), "--trigger", trigger, "--poisoning-ratio", "20"],
          ...["--seed", String(seed), "--out", poisoned],
        ],
      },
      {
        title: "Train: a small RoBERTa from random weights, on the poisoned rows",
        args: [
          "train",
          ...[
            "--base",
            data,
            "--samples",
            poisoned,
            "--epochs",
            "15",
            "--dropout",
            "0.1",
            "--token-dropout",
            "0.1",
          ],
          ...["--seed", String(seed), "--out", backdoored, ...common],
        ],
      },
      {
        title: "Evaluate the backdoored model on functions it has never seen",
        args: evaluated(backdoored, before),
      },
      {
        title: "Clean: scan and repair, from the model and 100 clean functions alone",
        args: [
          "clean",
          ...["--model", backdoored, "--samples", join(data, "clean_samples.jsonl")],
          ...[
            "--directions",
            "one",
            "--victim-label",
            "1",
            "--target-label",
            "0",
            "--epochs",
            "10",
            "--target-loss",
            "0",
            "--num-samples",
            "20",
          ],
          ...["--seed", String(seed), "--out", cleaned, ...common],
        ],
      },
      {
        title: "Evaluate the repaired model on the same functions",
        args: evaluated(join(cleaned, "repaired"), after),
      },
    ],
  };
}
