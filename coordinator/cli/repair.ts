import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Digest } from "../../proto/operations.ts";
import { digestOfFile } from "../../worker/cache/digest.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { parseAttack } from "../data/trigger-insertion.ts";
import { namingDivergence } from "../training/diverged.ts";
import { type TriedStage, unlearnAuto } from "../unlearn/auto.ts";
import type { HeldBackScore } from "../unlearn/held-back.ts";
import type { DirectedTrigger, Unlearned, UnlearningStep } from "../unlearn/problem.ts";
import { unlearnPublished } from "../unlearn/published.ts";
import { injectedPairs, injectedRows } from "../unlearn/training-rows.ts";
import type { ClusterContext } from "./command.ts";
import { type OpenedModel, weightFiles } from "./open-model.ts";
import { withConfigKeys } from "./options.ts";
import { autoPlanOf, publishedPlanOf, type RepairOptions } from "./repair-options.ts";
import { type RepairRows, repairSamples } from "./repair-rows.ts";
import type { RowLimits } from "./task-options.ts";
import { trainableWeights } from "./trainable-weights.ts";
import { writeModel } from "./write-model.ts";

/** A trigger to unlearn, and what it brings about. */
export interface UnlearnedTrigger {
  readonly ids: readonly number[];
  readonly text: string;
  /** The direction in which it works; absent in code search. */
  readonly victim_label?: number;
  readonly target_label?: number;
  /** Code search: what the queries hold that it draws codes toward; null where that is not known. */
  readonly target?: { readonly ids: readonly number[]; readonly text: string } | null;
}

/** How the automatic plan came to its weights. */
export interface AutoReport {
  /** The unrepaired model on held-back rows. */
  readonly before: HeldBackScore;
  /** Stages in the order in which they were tried. */
  readonly tried: readonly TriedStage[];
  /** The stage that was kept, its score, and why it is that one. */
  readonly stage: string;
  readonly after: HeldBackScore;
  readonly because: string;
  /** The same stages without any trigger in the rows: what training alone does. */
  readonly control: HeldBackScore;
  /** Whether the held-back rows say that triggers work no more. */
  readonly triggers_dead: boolean;
  /** Per trigger: tokens that further triggers were made of. */
  readonly screened_tokens: readonly (readonly number[])[];
}

/** What a repair did; `repair.json`, and part of the repaired checkpoint's manifest. Keys as in YAML. */
export interface RepairReport {
  readonly plan: "auto" | "published";
  readonly triggers: readonly UnlearnedTrigger[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly rows: number;
  /** Published plan: rows that carried the trigger. */
  readonly injected_rows: readonly number[] | null;
  readonly auto: AutoReport | null;
  readonly seconds: number;
}

export interface RepairInput {
  readonly opened: OpenedModel;
  readonly checkpoint: Digest;
  readonly tokenizer: Tokenizer;
  readonly samples: RepairRows;
  /** At least one; the published plan takes exactly one. */
  readonly triggers: readonly UnlearnedTrigger[];
  readonly limits: RowLimits;
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
  context: ClusterContext,
): Promise<Repaired> {
  const started = performance.now();
  const { opened, checkpoint, triggers } = input;
  const { executor, display, signal, answers } = context;
  const names = triggers.map(({ text }) => `'${text}'`).join(", ");
  const common = {
    executor,
    checkpoint,
    weights: await trainableWeights(opened),
    head: opened.layout.head,
    signal,
    answers,
  };
  const done = await namingDivergence((taken) => {
    const onStep = ({ step, ...record }: UnlearningStep, total: number, stage?: string): void => {
      const phase = stage === undefined ? `unlearning ${names}` : `unlearning ${names}: ${stage}`;
      taken({ ...record, done: step + 1, phase });
      display.progress({
        phase,
        done: step + 1,
        total,
        unit: "step",
        fields: { loss: record.loss },
      });
    };
    const onScreened = (parts: number, total: number): void =>
      display.progress({
        phase: `unlearning ${names}: tokens that pull alike`,
        done: parts,
        total,
        unit: "part",
      });
    return (given.plan === "published" ? published : automatic)(
      { ...common, onStep, onScreened },
      input,
      given,
    );
  });
  const report: RepairReport = {
    plan: given.plan,
    triggers,
    rows: input.samples.rows.length,
    ...done.report,
    seconds: (performance.now() - started) / 1000,
  };
  return { weights: done.weights, steps: done.steps, report };
}

type Target = Parameters<typeof unlearnAuto>[0];
type Done = Unlearned & { readonly report: Pick<RepairReport, "settings" | "injected_rows" | "auto"> };

async function published(
  target: Target,
  { opened, tokenizer, samples, triggers, limits, batches }: RepairInput,
  given: RepairOptions,
): Promise<Done> {
  const settings = publishedPlanOf(given, opened);
  const trigger = triggers[0]!;
  const { position, pattern } = parseAttack({
    trigger: trigger.text,
    position: given.attackPosition,
    pattern: given.attackPattern,
  });
  const injection = {
    inject: given.inject,
    trigger,
    attackPosition: position,
    attackPattern: pattern,
    victimLabel: trigger.victim_label ?? 0,
    targetLabel: trigger.target_label ?? 0,
    rate: given.injectionRate,
    seed: given.unlearningSeed,
  };
  const context = { ...target, maxLen: limits.codeMaxLen, endId: tokenizer.ids.restored, weights: undefined };
  const rows =
    samples.task === "code_search"
      ? await injectedPairs(samples.rows, injection, tokenizer, { ...context, nlMaxLen: limits.nlMaxLen })
      : await injectedRows(samples.rows, injection, tokenizer, context);
  const { weights, steps } = await unlearnPublished(target, rows, settings, batches);
  return {
    weights,
    steps,
    report: {
      settings: { ...withConfigKeys(settings), inject: given.inject, injection_rate: given.injectionRate },
      injected_rows: rows.injected,
      auto: null,
    },
  };
}

async function automatic(
  target: Target,
  { tokenizer, samples, triggers, limits }: RepairInput,
  given: RepairOptions,
): Promise<Done> {
  const settings = autoPlanOf(given);
  const done = await unlearnAuto(
    target,
    {
      samples: repairSamples(samples),
      triggers: triggers.map(directedTrigger),
      tokenizer,
      maxLen: limits.codeMaxLen,
      nlMaxLen: limits.nlMaxLen,
    },
    settings,
  );
  const { before, tried, stage, score, because, control, triggersDead, screened } = done;
  return {
    weights: done.weights,
    steps: done.steps,
    report: {
      settings: withConfigKeys(settings),
      injected_rows: null,
      auto: {
        ...{ before, tried, stage, after: score, because, control },
        triggers_dead: triggersDead,
        screened_tokens: screened,
      },
    },
  };
}

const directedTrigger = ({ ids, victim_label, target_label, target }: UnlearnedTrigger): DirectedTrigger =>
  victim_label === undefined || target_label === undefined
    ? { ids, targetIds: target?.ids ?? [] }
    : { ids, victimLabel: victim_label, targetLabel: target_label };

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
