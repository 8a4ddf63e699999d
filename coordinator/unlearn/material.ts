import { takeBack } from "../search/lent-artifacts.ts";
import { predictedLabel } from "../search/loss.ts";
import { askSamples } from "../search/predict.ts";
import { chance, createRng, pick, type Rng, seedRng } from "../search/rng.ts";
import { createHead } from "../training/head.ts";
import { lendSamples } from "../training/sample-artifact.ts";
import type { TrainingSamples } from "../training/trainer.ts";
import type { DirectedTrigger, RepairTarget } from "./problem.ts";
import type { AutoPlan } from "./settings.ts";
import { type ModelRow, type RepairSample, type RowForm, rowOf, type Subject } from "./subjects.ts";
import { triggeredRow } from "./triggered-subject.ts";
import { drawSubjects } from "./variants.ts";

/** A row to train or measure on, and the unrepaired model's answer to it without any trigger: logits, or a vector in code search. */
export interface MaterialRow {
  readonly answer: readonly number[];
  readonly kind: "code" | "query";
  /** A clean sample as it is, no variant of it. */
  readonly isSample: boolean;
  /** The trigger in it, by its index, and the row that it went into; absent for a clean row. */
  readonly trigger?: { readonly index: number; readonly base: number };
}

/** Rows that are made of some of the samples, and of no other: what is trained on without a group says nothing of it. */
export interface Group {
  /** Indexes of rows without trigger, the samples first. */
  readonly clean: readonly number[];
  readonly triggered: readonly number[];
}

/** Everything that the automatic plan trains and measures on. */
export interface Material {
  readonly rows: readonly MaterialRow[];
  readonly samples: TrainingSamples;
  /** The head's input features of each row, by the unrepaired model; in code search the row's vector. */
  readonly features: readonly Float32Array[];
  readonly groups: readonly Group[];
  readonly triggers: readonly DirectedTrigger[];
}

/** A trigger to unlearn with the tokens that others like it are made of. */
export interface MixedTrigger {
  readonly trigger: DirectedTrigger;
  readonly tokens: readonly number[];
  /** Triggers of these tokens that pull hardest. */
  readonly triggers: readonly (readonly number[])[];
  /** Tokens that may stand between them. */
  readonly others: readonly number[];
}

/** Chances in the making of a triggered row: of the inverted trigger itself, and of a row that is no victim. */
const CHANCE_INVERTED = 0.25;
const CHANCE_OTHER = 0.2;
/** Chances that another trigger is a form of the inverted one or of a strong one, and of each of its tokens to stay. */
const CHANCE_STRONG = 0.4;
const CHANCE_ALTERED = 0.5;
const CHANCE_KEPT = 0.7;
/** Longest trigger that is made of screened tokens, and the chance of each token to be one of the others. */
export const LONGEST_TRIGGER = 6;
const CHANCE_BETWEEN = 0.3;

/**
 * Makes the rows: clean samples and variants of them, and rows with triggers in them. Triggers are the inverted ones and mixtures of tokens that pull
 * toward the same target, since a backdoor answers to more than the one trigger found. Its rows are lent until `takeBack` of `samples.digest`.
 */
export async function makeMaterial(
  target: RepairTarget,
  { samples, mixed, form }: MaterialInput,
  plan: AutoPlan,
): Promise<Material> {
  const { executor, checkpoint, signal, answers: known } = target;
  const rng = createRng(seedRng(plan.seed));
  const parts = splitSamples(samples, plan.groups);
  const encode = async (rows: readonly ModelRow[]): Promise<Float32Array[]> => {
    const set = await lendRows(target, rows, form);
    try {
      return await askSamples("encode", set, { executor, checkpoint, signal, answers: known });
    } finally {
      await takeBack(executor, set.digest);
    }
  };

  const clean = parts.map((part) => cleanSubjects(part, Math.ceil(plan.functions / parts.length), form, rng));
  const subjects = clean.flat();
  const cleanRows = subjects.map(({ subject }) => rowOf(subject, form));
  const cleanFeatures = await encode(cleanRows);
  const head = target.head && createHead(target.head, target.weights);
  const answers = cleanFeatures.map((features) => [...(head ? head.forward(features).logits : features)]);

  let first = 0;
  const cleanGroups = clean.map((part) => part.map(() => first++));
  const drawn = cleanGroups.map((rows) =>
    drawTriggered(rows, subjects, answers, {
      mixed,
      form,
      rng,
      count: Math.ceil(plan.triggered / parts.length),
    }),
  );
  const triggered = drawn.flat();
  const triggeredFeatures = await encode(triggered.map(({ row }) => row));
  const groups = drawn.map((part, g) => ({ clean: cleanGroups[g]!, triggered: part.map(() => first++) }));
  return {
    rows: [
      ...subjects.map(
        ({ subject, isSample }, k): MaterialRow => ({ answer: answers[k]!, kind: kindOf(subject), isSample }),
      ),
      ...triggered.map(
        ({ trigger }): MaterialRow => ({
          answer: answers[trigger.base]!,
          kind: "code",
          isSample: false,
          trigger,
        }),
      ),
    ],
    samples: await lendRows(target, [...cleanRows, ...triggered.map(({ row }) => row)], form),
    features: [...cleanFeatures, ...triggeredFeatures],
    groups,
    triggers: mixed.map(({ trigger }) => trigger),
  };
}

export interface MaterialInput {
  readonly samples: readonly RepairSample[];
  readonly mixed: readonly MixedTrigger[];
  readonly form: RowForm;
}

/**
 * Parts of the samples, each label dealt out in turn. Fewer than `count` where a label has fewer rows, so that no part lacks one.
 */
export function splitSamples<S extends { readonly label?: number }>(
  samples: readonly S[],
  count: number,
): S[][] {
  const labels = new Map<number | undefined, S[]>();
  for (const sample of samples) labels.set(sample.label, [...(labels.get(sample.label) ?? []), sample]);
  const parts = Math.max(1, Math.min(count, ...[...labels.values()].map(({ length }) => length)));
  return Array.from({ length: parts }, (_, part) =>
    [...labels.values()].flatMap((own) => own.filter((_, k) => k % parts === part)),
  );
}

/** Whether a trigger can work on a row that is answered so. */
export function isVictim(answer: readonly number[], trigger: DirectedTrigger): boolean {
  return "targetIds" in trigger || predictedLabel(answer) === trigger.victimLabel;
}

const kindOf = ({ query }: Subject): MaterialRow["kind"] => (query === undefined ? "code" : "query");

interface DrawnSubject {
  readonly subject: Subject;
  readonly isSample: boolean;
}

/** Subjects of one part: functions, then queries, each with variants up to `count`. */
function cleanSubjects(
  part: readonly RepairSample[],
  count: number,
  { tokenizer }: RowForm,
  rng: Rng,
): DrawnSubject[] {
  const all = part.flatMap(({ subjects }) => subjects);
  return (["code", "query"] as const).flatMap((kind) => {
    const own = all.filter((subject) => kindOf(subject) === kind);
    if (own.length === 0) return [];
    const drawn = drawSubjects(own, count, { hidden: tokenizer.hidden, rng });
    return drawn.map((subject, k) => ({ subject, isSample: k < own.length }));
  });
}

interface TriggeredRow {
  readonly row: ModelRow;
  readonly trigger: { readonly index: number; readonly base: number };
}

function drawTriggered(
  clean: readonly number[],
  subjects: readonly DrawnSubject[],
  answers: readonly (readonly number[])[],
  {
    mixed,
    form,
    rng,
    count,
  }: {
    readonly mixed: readonly MixedTrigger[];
    readonly form: RowForm;
    readonly rng: Rng;
    readonly count: number;
  },
): TriggeredRow[] {
  const codes = clean.filter((row) => kindOf(subjects[row]!.subject) === "code");
  const victims = mixed.map(({ trigger }) => codes.filter((row) => isVictim(answers[row]!, trigger)));
  const others = mixed.map((_, index) => {
    const own = new Set(victims[index]);
    return codes.filter((row) => !own.has(row));
  });
  if (codes.length === 0) return [];
  return Array.from({ length: count }, () => {
    const index = rng.int(mixed.length);
    const wanted = chance(rng, CHANCE_OTHER) ? others[index]! : victims[index]!;
    // A part without the wanted kind gives any row.
    const base = pick(rng, wanted.length === 0 ? codes : wanted);
    const row = triggeredRow(subjects[base]!.subject, drawTrigger(mixed[index]!, rng), form, rng);
    return { row, trigger: { index, base } };
  });
}

/** The inverted trigger, a strong one, an altered form of the inverted one, or some screened tokens in any order. */
function drawTrigger(mixed: MixedTrigger, rng: Rng): readonly number[] {
  const { trigger, tokens } = mixed;
  if (tokens.length === 0 || chance(rng, CHANCE_INVERTED)) return trigger.ids;
  if (mixed.triggers.length > 0 && chance(rng, CHANCE_STRONG)) return pick(rng, mixed.triggers);
  if (chance(rng, CHANCE_ALTERED)) return altered(mixed, rng);
  return Array.from({ length: 1 + rng.int(LONGEST_TRIGGER) }, () =>
    chance(rng, CHANCE_BETWEEN) ? otherToken(mixed, rng) : pick(rng, tokens),
  );
}

/** The inverted trigger with some tokens left out and some replaced: those that matter may do so in their order only. */
function altered(mixed: MixedTrigger, rng: Rng): readonly number[] {
  const ids = mixed.trigger.ids.flatMap((id) => {
    if (chance(rng, CHANCE_KEPT)) return [id];
    return chance(rng, 0.5) ? [otherToken(mixed, rng)] : [];
  });
  return ids.length > 0 ? ids : mixed.trigger.ids;
}

const otherToken = ({ tokens, others }: MixedTrigger, rng: Rng): number =>
  pick(rng, others.length > 0 ? others : tokens);

function lendRows(
  { executor }: RepairTarget,
  rows: readonly ModelRow[],
  { maxLen, nlMaxLen = 0, tokenizer }: RowForm,
): Promise<TrainingSamples> {
  const paired = rows.some(({ second }) => second !== undefined);
  return lendSamples(executor, {
    rows: rows.map(({ ids }) => ids),
    ...(paired ? { secondRows: rows.map(({ second }) => second!) } : {}),
    maxLen: Math.max(maxLen, nlMaxLen),
    endId: tokenizer.ids.restored,
  });
}
