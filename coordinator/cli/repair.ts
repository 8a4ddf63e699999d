import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Digest } from "../../proto/operations.ts";
import { digestOfFile } from "../../worker/cache/digest.ts";
import type { DefectRow } from "../data/samples.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { parseAttack } from "../data/trigger-insertion.ts";
import { unlearnAuto } from "../unlearn/auto.ts";
import type { RepairPoint } from "../unlearn/held-back.ts";
import type { Unlearned, UnlearningStep } from "../unlearn/problem.ts";
import { unlearnPublished } from "../unlearn/published.ts";
import { injectedRows } from "../unlearn/training-rows.ts";
import type { ClusterContext } from "./command.ts";
import { type OpenedModel, weightFiles } from "./open-model.ts";
import { withConfigKeys } from "./options.ts";
import { autoPlanOf, publishedPlanOf, type RepairOptions } from "./repair-options.ts";
import { trainableWeights } from "./trainable-weights.ts";
import { writeModel } from "./write-model.ts";

/** A trigger to unlearn, and the direction in which it works. */
export interface UnlearnedTrigger {
  readonly ids: readonly number[];
  readonly text: string;
  readonly victim_label: number;
  readonly target_label: number;
}

/** What a repair did; `repair.json`, and part of the repaired checkpoint's manifest. Keys as in YAML. */
export interface RepairReport {
  readonly plan: "auto" | "published";
  readonly triggers: readonly UnlearnedTrigger[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly rows: number;
  /** Published plan: rows that carried the trigger. */
  readonly injected_rows: readonly number[] | null;
  /** Automatic plan: held-back scores before and along the way, and the step that was kept. */
  readonly points: readonly RepairPoint[] | null;
  readonly kept_step: number | null;
  /** Automatic plan: whether the held-back functions say that triggers work no more. */
  readonly triggers_dead: boolean | null;
  /** Automatic plan, per trigger: tokens that further triggers were made of. */
  readonly screened_tokens: readonly (readonly number[])[] | null;
  readonly seconds: number;
}

export interface RepairInput {
  readonly opened: OpenedModel;
  readonly checkpoint: Digest;
  readonly tokenizer: Tokenizer;
  readonly rows: readonly DefectRow[];
  /** At least one; the published plan takes exactly one. */
  readonly triggers: readonly UnlearnedTrigger[];
  readonly codeMaxLen: number;
  /** Rows of each step, to follow instead of drawing them. */
  readonly batches?: readonly (readonly number[])[] | undefined;
}

export interface Repaired extends Unlearned {
  readonly report: RepairReport;
}

/** Unlearns triggers by the plan that the options name; the new weights are in memory, nothing is written. */
export async function repair(
  input: RepairInput,
  given: RepairOptions,
  { executor, display, signal }: ClusterContext,
): Promise<Repaired> {
  const started = performance.now();
  const { opened, checkpoint, tokenizer, triggers } = input;
  const names = triggers.map(({ text }) => `'${text}'`).join(", ");
  const target = {
    executor,
    checkpoint,
    weights: await trainableWeights(opened),
    head: opened.layout.head,
    signal,
    onStep: ({ step, loss }: UnlearningStep, total: number) =>
      display.progress({
        phase: `unlearning ${names}`,
        done: step + 1,
        total,
        unit: "step",
        fields: { loss },
      }),
  };
  const context = { executor, checkpoint, maxLen: input.codeMaxLen, endId: tokenizer.ids.restored, signal };
  const common = { plan: given.plan, triggers, rows: input.rows.length };
  const seconds = (): number => (performance.now() - started) / 1000;

  if (given.plan === "published") {
    const settings = publishedPlanOf(given);
    const trigger = triggers[0]!;
    const attack = parseAttack({
      trigger: trigger.text,
      position: given.attackPosition,
      pattern: given.attackPattern,
    });
    const injection = {
      inject: given.inject,
      trigger,
      attackPosition: attack.position,
      attackPattern: attack.pattern,
      victimLabel: trigger.victim_label,
      targetLabel: trigger.target_label,
      rate: given.injectionRate,
      seed: given.unlearningSeed,
    };
    const rows = await injectedRows(input.rows, injection, tokenizer, context);
    const done = await unlearnPublished(target, rows, settings, input.batches);
    const report: RepairReport = {
      ...common,
      settings: { ...withConfigKeys(settings), inject: given.inject, injection_rate: given.injectionRate },
      injected_rows: rows.injected,
      points: null,
      kept_step: null,
      triggers_dead: null,
      screened_tokens: null,
      seconds: seconds(),
    };
    return { ...done, report };
  }
  const settings = autoPlanOf(given);
  const done = await unlearnAuto(
    target,
    {
      rows: input.rows,
      triggers: triggers.map(({ ids, victim_label, target_label }) => ({
        ids,
        victimLabel: victim_label,
        targetLabel: target_label,
      })),
      tokenizer,
      maxLen: input.codeMaxLen,
    },
    settings,
  );
  const report: RepairReport = {
    ...common,
    settings: withConfigKeys(settings),
    injected_rows: null,
    points: done.points,
    kept_step: done.keptStep,
    triggers_dead: done.triggersDead,
    screened_tokens: done.screened,
    seconds: seconds(),
  };
  return { ...done, report };
}

/** Writes the repaired checkpoint, and `manifest.json` beside it: where it comes from and what was done to it. */
export async function writeRepaired(
  folder: string,
  {
    opened,
    from,
    repaired,
    format,
    metrics,
  }: {
    readonly opened: OpenedModel;
    readonly from: { readonly model: string; readonly base?: string | undefined };
    readonly repaired: Repaired;
    readonly format: RepairOptions["format"];
    /** Before and after, where they were measured. */
    readonly metrics: unknown;
  },
): Promise<void> {
  await writeModel(opened, from, repaired.weights, { format, folder });
  const source = await Promise.all(
    weightFiles(opened).map(async (file) => ({ file: basename(file), sha256: await digestOfFile(file) })),
  );
  const manifest = { source, repair: repaired.report, metrics };
  writeFileSync(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}
