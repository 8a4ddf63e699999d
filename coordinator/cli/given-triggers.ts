import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../../proto/json-text.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { PairSearchResult, SearchResult } from "../search/scan-result.ts";
import { directionOf, requireDirection } from "./direction.ts";
import { InputError } from "./errors.ts";
import { strongestFirst, worthUnlearning } from "./found-triggers.ts";
import type { OpenedModel } from "./open-model.ts";
import type { UnlearnedTrigger } from "./repair.ts";

/** Where `unlearn` gets its triggers from. */
export interface TriggerOptions {
  readonly plan: "auto" | "published";
  readonly trigger?: readonly string[] | undefined;
  readonly triggerIds?: readonly number[] | undefined;
  readonly scan?: string | undefined;
  readonly victimLabel?: number | undefined;
  readonly targetLabel?: number | undefined;
}

/**
 * The triggers to unlearn: those that the user names, or those of a scan that are worth it.
 *
 * @throws InputError where none or several ways are given, or one does not fit the model
 */
export function triggersOf(
  given: TriggerOptions,
  tokenizer: Tokenizer,
  { task, labels, config }: OpenedModel,
): UnlearnedTrigger[] {
  const sources = [given.trigger, given.triggerIds, given.scan].filter((each) => each !== undefined);
  if (sources.length !== 1)
    throw new InputError("--trigger, --trigger-ids or --scan: give exactly one of the three");
  const triggers =
    given.scan === undefined
      ? namedTriggers(given, tokenizer, task)
      : scannedTriggers(given.scan, given, task);
  if (given.plan === "published" && triggers.length > 1) {
    throw new InputError(`--trigger: ${triggers.length} triggers; --plan published unlearns one`);
  }
  for (const { ids, text, target, victim_label, target_label } of triggers) {
    if (victim_label !== undefined && target_label !== undefined) {
      const above = [victim_label, target_label].find((label) => label >= labels);
      if (given.scan !== undefined && above !== undefined)
        throw new InputError(
          `--scan ${given.scan}: '${text}' is of label ${above}, and the model has only labels 0 to ${labels - 1}`,
        );
      requireDirection({ victimLabel: victim_label, targetLabel: target_label }, labels);
    }
    const unknown = [...ids, ...(target?.ids ?? [])].find((id) => id >= config.vocabSize);
    if (unknown === undefined) continue;
    const named = given.trigger === undefined ? `--trigger-ids ${ids.join(",")}` : `--trigger ${text}`;
    const source = given.scan === undefined ? named : `--scan ${given.scan}`;
    throw new InputError(`${source}: id ${unknown} is not in the model's vocabulary of ${config.vocabSize}`);
  }
  return triggers;
}

function namedTriggers(
  { trigger, triggerIds, ...given }: TriggerOptions,
  tokenizer: Tokenizer,
  task: OpenedModel["task"],
): UnlearnedTrigger[] {
  const blank = trigger?.find((each) => each.trim() === "");
  if (blank !== undefined) throw new InputError(`--trigger ${JSON.stringify(blank)}: is empty`);
  const { victimLabel, targetLabel } = directionOf(given);
  const direction =
    task === "code_search" ? { target: null } : { victim_label: victimLabel, target_label: targetLabel };
  const named =
    triggerIds === undefined
      ? trigger!.map((text) => ({ ids: tokenizer.encode(text), text }))
      : [{ ids: triggerIds, text: tokenizer.decode(triggerIds) }];
  return named.map((each) => ({ ...each, ...direction }));
}

const Tokens = z.object({ ids: z.array(z.int().min(0)), text: z.string() });
const Trigger = z.object({ ids: z.array(z.int().min(0)).min(1), text: z.string() });
const Counted = z.object({ hits: z.int(), n: z.int() });
const Ranked = z.object({ anr: z.number().nullable(), without_trigger: z.number().nullable() });

const FlipSearch = z.object({
  victim_label: z.int().min(0),
  target_label: z.int().min(0),
  trigger: Trigger.nullable(),
  loss: z.number().nullable(),
  asr: z.object({ held_out: Counted }).nullable(),
  without_trigger: z.object({ held_out: Counted }),
});
const RankSearch = z.object({
  trigger: Trigger.nullable(),
  target: Tokens.nullable(),
  loss: z.number().nullable(),
  anr: z.object({ samples: Ranked, held_out: Ranked }).nullable(),
});

/** All that are worth unlearning; the strongest alone where the plan takes one, or none is worth it. */
function scannedTriggers(
  path: string,
  { plan }: TriggerOptions,
  task: OpenedModel["task"],
): UnlearnedTrigger[] {
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "result.json") : path;
  if (!existsSync(file)) throw new InputError(`--scan ${path}: no result.json there`);
  let json: unknown;
  try {
    json = parseJson(readFileSync(file, "utf8"));
  } catch {
    throw new InputError(`--scan ${file}: is not JSON`);
  }
  const Search = task === "code_search" ? RankSearch : FlipSearch;
  const parsed = z
    .object({ searches: z.array<typeof FlipSearch | typeof RankSearch>(Search) })
    .safeParse(json);
  if (!parsed.success) {
    const field = parsed.error.issues[0]!.path.join(".");
    throw new InputError(`--scan ${file}: ${field}: is missing, or not as a scan of ${task} writes it`);
  }
  const { searches } = parsed.data;
  const worth = worthUnlearning(searches);
  const chosen = plan === "published" || worth.length === 0 ? strongestFirst(searches).slice(0, 1) : worth;
  if (chosen.length === 0) throw new InputError(`--scan ${file}: no search found a trigger`);
  return chosen.map(unlearnedTrigger);
}

/** A search's trigger as a repair takes it. */
export function unlearnedTrigger(
  search:
    | Pick<SearchResult, "trigger" | "victim_label" | "target_label">
    | Pick<PairSearchResult, "trigger" | "target">,
): UnlearnedTrigger {
  const { ids, text } = search.trigger!;
  if ("target" in search) return { ids, text, target: search.target };
  const { victim_label, target_label } = search;
  return { ids, text, victim_label, target_label };
}
