/** Many runs, one after the other, and what they came to together. */
import { digestOf } from "../../proto/canonical-json.ts";
import type { Planted } from "./planted.ts";
import { type RunOutcome, runSeed } from "./world.ts";

export interface SeedsOutcome {
  readonly runs: number;
  /** How often each thing happened, in all runs together. */
  readonly counts: ReadonlyMap<string, number>;
  readonly virtualMs: number;
}

/** Runs that wait for the event loop's next turn together share it. */
const AT_A_TIME = 4;

/** Runs seeds `first` to `first + count - 1`. @throws Error that names the first seed that fails, and how to run it again */
export async function runSeeds(first: number, count: number): Promise<SeedsOutcome> {
  const counts = new Map<string, number>();
  let virtualMs = 0;
  let next = first;
  const lane = async (): Promise<void> => {
    while (next < first + count) {
      const outcome = await runSeed(next++);
      if (outcome.violation) throw new Error(explained(outcome), { cause: outcome.violation });
      for (const [name, times] of outcome.counts) counts.set(name, (counts.get(name) ?? 0) + times);
      virtualMs += outcome.tookMs;
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  return { runs: count, counts, virtualMs };
}

/** What is worth knowing of a run that failed. */
export function explained({ seed, violation, events, tookMs }: RunOutcome): string {
  return [
    `seed ${seed} fails after ${Math.round(tookMs)} virtual ms: ${violation?.message}`,
    ...events.slice(-12).map((event) => `  ${event}`),
    `again: ELIBAD_SIM_SEED=${seed} npx vitest run tests/simulation/one-seed.test.ts`,
  ].join("\n");
}

/** The first seed from 1 on that finds a planted bug; undefined where none of the first `most` does. A bug is planted anew for each run. */
export async function firstToFind(plant: () => Planted, most: number): Promise<RunOutcome | undefined> {
  for (let seed = 1; seed <= most; seed++) {
    const outcome = await runSeed(seed, plant());
    if (outcome.violation) return outcome;
  }
  return undefined;
}

/** Of all that happened, in its order. */
export const digestOfRun = ({ events }: RunOutcome): string => digestOf(events.join("\n"));
