import { z } from "zod";
import { parseJson as parseText } from "../../proto/json-text.ts";
import type { Trigger } from "./candidates.ts";
import { SearchInputError } from "./problem.ts";

/** A step whose trigger and candidates are given. */
export interface ReplayedStep {
  readonly trigger: Trigger;
  readonly candidates: readonly Trigger[];
}

/** The same of code search; targets may have no tokens. */
export interface ReplayedPairStep extends ReplayedStep {
  readonly target: Trigger;
  readonly targetCandidates: readonly Trigger[];
}

const ids = z.array(z.int().nonnegative()).min(1);
const targetIds = z.array(z.int().nonnegative());
const Line = z.object({
  kind: z.string().optional(),
  search: z.int().nonnegative().default(0),
  trigger: ids.optional(),
  candidates: z.array(ids).min(1).optional(),
  target: targetIds.optional(),
  target_candidates: z.array(targetIds).min(1).optional(),
});
type Line = z.infer<typeof Line>;

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
export const readReplay = (
  lines: readonly string[],
  source: string,
  limits?: ReplayLimits,
): Map<number, ReplayedStep[]> =>
  readSteps(lines, source, (line, at) => {
    const { trigger, candidates } = checked("trigger", line.trigger, line.candidates, at);
    if (limits !== undefined) checkLimits([trigger, ...candidates], limits, at);
    return { trigger, candidates };
  });

/** The same of a code-search trace, whose steps also name a target. */
export const readPairReplay = (
  lines: readonly string[],
  source: string,
  limits?: ReplayLimits & { readonly targetLen: number },
): Map<number, ReplayedPairStep[]> =>
  readSteps(lines, source, (line, at) => {
    const { trigger, candidates } = checked("trigger", line.trigger, line.candidates, at);
    const target = checked("target", line.target, line.target_candidates, at);
    if (limits !== undefined) {
      checkLimits([trigger, ...candidates], limits, at);
      checkLimits([target.trigger, ...target.candidates], limits, at, "target");
    }
    return { trigger, candidates, target: target.trigger, targetCandidates: target.candidates };
  });

function readSteps<Step>(
  lines: readonly string[],
  source: string,
  stepOf: (line: Line, at: string) => Step,
): Map<number, Step[]> {
  const searches = new Map<number, Step[]>();
  for (const [k, text] of lines.entries()) {
    if (text.trim() === "") continue;
    const at = `${source}, line ${k + 1}`;
    const parsed = Line.safeParse(parseJson(text, at));
    if (!parsed.success) throw new SearchInputError(`${at}: ${problemOf(parsed.error)}`);
    const { data } = parsed;
    if (data.candidates === undefined) continue;
    searches.set(data.search, [...(searches.get(data.search) ?? []), stepOf(data, at)]);
  }
  if (searches.size === 0) throw new SearchInputError(`${source}: no step with candidates`);
  return searches;
}

function checked(
  what: "trigger" | "target",
  trigger: Trigger | undefined,
  candidates: readonly Trigger[] | undefined,
  at: string,
): ReplayedStep {
  if (candidates === undefined) throw new SearchInputError(`${at}: no ${what}_candidates`);
  if (trigger === undefined) throw new SearchInputError(`${at}: candidates without ${what}`);
  const other = candidates.findIndex((candidate) => candidate.length !== trigger.length);
  if (other !== -1)
    throw new SearchInputError(
      `${at}: candidate ${other} has ${candidates[other]!.length} ids, the ${what} ${trigger.length}`,
    );
  return { trigger, candidates };
}

function checkLimits(
  triggers: readonly Trigger[],
  { triggerLen, targetLen, vocabSize }: ReplayLimits & { readonly targetLen?: number },
  at: string,
  what: "trigger" | "target" = "trigger",
): void {
  const expected = what === "trigger" ? triggerLen : targetLen;
  if (triggers[0]!.length !== expected)
    throw new SearchInputError(
      `${at}: its ${what} has ${triggers[0]!.length} ids, --${what}-len is ${expected}`,
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
    return parseText(text);
  } catch (cause) {
    throw new SearchInputError(`${at}: not JSON`, { cause });
  }
}
