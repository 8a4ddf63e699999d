import type { Tokenizer } from "../data/tokenizer.ts";
import { createRng, seedRng } from "../search/rng.ts";
import { LONGEST_TRIGGER, type MixedTrigger } from "./material.ts";
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
 * that label, since natural signs of the label are not unlearned; and any that pull hard beside them. Between them stand pieces of the samples' names.
 * Code search mixes the trigger's own tokens.
 */
export async function mixTrigger(
  target: RepairTarget,
  trigger: DirectedTrigger,
  { samples, form }: { readonly samples: readonly RepairSample[]; readonly form: RowForm },
  plan: AutoPlan,
): Promise<MixedTrigger> {
  const own = [...new Set(trigger.ids)];
  if ("targetIds" in trigger) return { trigger, tokens: own, triggers: [], others: [] };
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
  const isPiece = (id: number): boolean =>
    IDENTIFIER_PIECE.test(tokenizer.tokenOf(id) ?? "") && !special.has(id);
  const pieces = Array.from({ length: tokenizer.size }, (_, id) => id).filter(isPiece);
  const vocabulary = pieces.filter((id) => !natural.has(id));
  const victims = rowsOf(trigger.victimLabel).slice(0, SCREENING_SAMPLES);
  if (victims.length === 0 || vocabulary.length === 0)
    return { trigger, tokens: own, triggers: [], others: [] };
  const rng = createRng(seedRng(plan.seed));
  const rows = victims.map((subject) => rowOf(subject, form));
  const screened = await screenTokens(
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
    {
      inverted: trigger.ids,
      companions: pieces,
      keep: plan.screenedTokens,
      longest: Math.max(LONGEST_TRIGGER, trigger.ids.length),
      seed: plan.seed,
      signal: target.signal,
      onPart: target.onScreened,
    },
  );
  return { trigger, ...screened, others: piecesOfNames(samples, tokenizer).filter(isPiece) };
}

/** Ids of the samples' identifiers, as often as they occur in them. */
const piecesOfNames = (samples: readonly RepairSample[], tokenizer: Tokenizer): number[] =>
  samples.flatMap(({ subjects }) =>
    subjects.flatMap(({ functions }) =>
      functions.flatMap(({ variables, funcName }) =>
        [...new Set([...variables, funcName])].flatMap((name) => tokenizer.encode(name)),
      ),
    ),
  );
