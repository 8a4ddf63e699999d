import { createRng, seedRng } from "../search/rng.ts";
import type { MixedTrigger } from "./material.ts";
import type { DirectedTrigger, RepairTarget } from "./problem.ts";
import { screenTokens } from "./screen.ts";
import type { AutoPlan } from "./settings.ts";
import { type RepairSample, type RowForm, rowOf } from "./subjects.ts";
import { variableIndex } from "./triggered-subject.ts";

/** Samples that tokens are screened on. */
const SCREENING_SAMPLES = 12;
/** A piece of an identifier, with or without a leading blank. */
const IDENTIFIER_PIECE = /^Ġ?[A-Za-z0-9_]+$/;

/**
 * The tokens that triggers are mixed from: those that pull hard toward the target label, of the inverted trigger's and of those that occur in no sample of
 * that label, since natural signs of the label are not unlearned. Code search mixes the trigger's own tokens.
 */
export async function mixTrigger(
  target: RepairTarget,
  trigger: DirectedTrigger,
  { samples, form }: { readonly samples: readonly RepairSample[]; readonly form: RowForm },
  plan: AutoPlan,
): Promise<MixedTrigger> {
  const own = [...new Set(trigger.ids)];
  if ("targetIds" in trigger) return { trigger, tokens: own, others: [] };
  const { tokenizer, maxLen } = form;
  const rowsOf = (label: number) =>
    samples.filter((sample) => sample.label === label).flatMap(({ subjects }) => subjects);
  const natural = new Set(
    rowsOf(trigger.targetLabel).flatMap((subject) => {
      const { ids, second = [] } = rowOf(subject, form);
      return [...ids, ...second];
    }),
  );
  const special = new Set<number>(Object.values(tokenizer.ids));
  const vocabulary = Array.from({ length: tokenizer.size }, (_, id) => id).filter(
    (id) => IDENTIFIER_PIECE.test(tokenizer.tokenOf(id) ?? "") && !natural.has(id) && !special.has(id),
  );
  const victims = rowsOf(trigger.victimLabel).slice(0, SCREENING_SAMPLES);
  if (victims.length === 0 || vocabulary.length === 0) return { trigger, tokens: own, others: [] };
  const rng = createRng(seedRng(plan.seed));
  const rows = victims.map((subject) => rowOf(subject, form));
  const tokens = await screenTokens(
    target.executor,
    {
      checkpoint: target.checkpoint,
      rows: rows.map(({ ids }) => ids),
      ...(rows[0]?.second === undefined ? {} : { secondRows: rows.map(({ second }) => second!) }),
      insertIndexes: victims.map(({ functions }) => variableIndex(functions[0]!, form, rng)),
      maxLen,
      endId: tokenizer.ids.restored,
      vocabulary,
      target: trigger.targetLabel,
    },
    { inverted: trigger.ids, keep: plan.screenedTokens, seed: plan.seed, signal: target.signal },
  );
  return { trigger, tokens, others: vocabulary };
}
