import { z } from "zod";
import type { Trigger } from "./candidates.ts";
import { SearchInputError } from "./problem.ts";

/** A step whose trigger and candidates are given. */
export interface ReplayedStep {
  readonly trigger: Trigger;
  readonly candidates: readonly Trigger[];
}

const ids = z.array(z.int().nonnegative()).min(1);
const Line = z.object({
  kind: z.string().optional(),
  search: z.int().nonnegative().default(0),
  trigger: ids.optional(),
  candidates: z.array(ids).min(1).optional(),
});

/** What the triggers of a trace have to fit. */
export interface ReplayLimits {
  readonly triggerLen: number;
  /** Ids lie below it. */
  readonly vocabSize: number;
}

/**
 * Steps of each search of a trace, by the search's number. Reads the lines of `trace.jsonl`; lines without `candidates`
 * (the samples) are passed over. `source` names the file in errors.
 */
export function readReplay(
  lines: readonly string[],
  source: string,
  limits?: ReplayLimits,
): Map<number, ReplayedStep[]> {
  const searches = new Map<number, ReplayedStep[]>();
  for (const [k, text] of lines.entries()) {
    if (text.trim() === "") continue;
    const at = `${source}, line ${k + 1}`;
    const parsed = Line.safeParse(parseJson(text, at));
    if (!parsed.success) throw new SearchInputError(`${at}: ${problemOf(parsed.error)}`);
    const { search, trigger, candidates } = parsed.data;
    if (candidates === undefined) continue;
    if (trigger === undefined) throw new SearchInputError(`${at}: candidates without trigger`);
    const other = candidates.findIndex((candidate) => candidate.length !== trigger.length);
    if (other !== -1)
      throw new SearchInputError(
        `${at}: candidate ${other} has ${candidates[other]!.length} ids, the trigger ${trigger.length}`,
      );
    if (limits !== undefined) checkLimits([trigger, ...candidates], limits, at);
    searches.set(search, [...(searches.get(search) ?? []), { trigger, candidates }]);
  }
  if (searches.size === 0) throw new SearchInputError(`${source}: no step with candidates`);
  return searches;
}

function checkLimits(
  triggers: readonly Trigger[],
  { triggerLen, vocabSize }: ReplayLimits,
  at: string,
): void {
  if (triggers[0]!.length !== triggerLen)
    throw new SearchInputError(
      `${at}: its trigger has ${triggers[0]!.length} ids, --trigger-len is ${triggerLen}`,
    );
  const unknown = triggers.flat().find((id) => id >= vocabSize);
  if (unknown !== undefined)
    throw new SearchInputError(`${at}: id ${unknown} is not in the model's vocabulary of ${vocabSize}`);
}

function problemOf({ issues }: z.ZodError): string {
  const { path, message } = issues[0]!;
  return `${path.length === 0 ? "the line" : path.join(".")}: ${message}`;
}

function parseJson(text: string, at: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SearchInputError(`${at}: not JSON`, { cause });
  }
}
