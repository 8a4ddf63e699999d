import { expect, test } from "vitest";
import { noteCost } from "../faults/cost.ts";
import { Violation } from "./invariants.ts";
import type { Planted } from "./planted.ts";
import { PLANTED_BUGS } from "./planted-bugs.ts";
import { firstToFind } from "./seeds.ts";
import { runSeed } from "./world.ts";

/** Each is found by one of thirty, or more. */
const MOST_SEEDS = 400;

test.for(Object.entries(PLANTED_BUGS))(
  "26: a coordinator with the bug '%s' is found out",
  { timeout: 240_000 },
  async ([name, { planted, foundBy }], context) => {
    const outcome = await firstToFind(planted, MOST_SEEDS);
    expect(outcome, `none of ${MOST_SEEDS} seeds finds it`).toBeDefined();
    const { seed, violation } = outcome!;
    console.log(`'${name}' is found by seed ${seed}: ${violation!.message}`);
    expect(violation).toBeInstanceOf(Violation);
    expect(foundBy).toContain((violation as Violation).invariant);
    noteCost(context, `found by seed ${seed}`);
    // It is the bug that was found: without it the seed's run is fine.
    const { plan }: Planted = planted();
    expect((await runSeed(seed, plan ? { plan } : {})).violation).toBeUndefined();
  },
);
