import { expect, test } from "vitest";
import type { Job } from "./child.ts";
import { fuzz } from "./fuzz.ts";
import { PLANTED_BUGS } from "./planted-bugs.ts";

/** Inputs of which some meet every planted bug. */
const RUNS = 4_000;

test.each(Object.entries(PLANTED_BUGS))(
  "a parser with %s is found out",
  { timeout: 240_000 },
  async (planted, { parser, foundAs }) => {
    const jobs: Job[] = [{ kind: "slice", parser, planted, seed: 1, runs: RUNS }];
    const { found } = await fuzz(() => jobs.shift(), { children: 1, shrinkMs: 0 });
    expect(found[0]?.problem ?? `not found in ${RUNS} inputs`).toMatch(foundAs);
    expect(Object.keys(found[0]!.files).length).toBeGreaterThan(0);
  },
);

test("an input that goes wrong is made smaller, whether its child survives it or not", {
  timeout: 240_000,
}, async () => {
  const jobs: Job[] = ["a TypeError", "a loop without an end"].map((planted) => ({
    ...{ kind: "slice", seed: 1, runs: RUNS, planted },
    parser: PLANTED_BUGS[planted]!.parser,
  }));
  const { found } = await fuzz(() => jobs.shift(), { children: 2, shrinkMs: 2_000 });
  expect(found.map(({ parser }) => parser).sort()).toEqual(["adapter-config", "config"]);
  for (const { files } of found)
    for (const bytes of Object.values(files)) expect(bytes.length).toBeLessThan(1_000);
});
