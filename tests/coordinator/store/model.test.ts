import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LogEntry } from "../../../coordinator/store/log.ts";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";
import { jetStreamOptions, records, STORE_KINDS, type StoreKind } from "../../support/store-places.ts";
import { startStoreProcess } from "../../support/store-process.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let nats: TestNatsServer;
beforeAll(async () => {
  nats = await startNatsServer({ endsWithTest: false });
});
afterAll(() => nats.stop());

/** What a log should hold, in memory. */
interface Model {
  readonly snapshot: { readonly upTo: number; readonly value: unknown } | undefined;
  readonly values: readonly unknown[];
}

const upTo = ({ snapshot }: Model) => snapshot?.upTo ?? 0;
const appended = (model: Model, values: readonly unknown[]): Model => ({
  ...model,
  values: [...model.values, ...values],
});
const snapshotted = (model: Model, value: unknown): Model => ({
  snapshot: { upTo: upTo(model) + model.values.length, value },
  values: [],
});
const entriesOf = (model: Model): LogEntry[] => [
  ...(model.snapshot ? [{ kind: "snapshot", ...model.snapshot } as const] : []),
  ...records(upTo(model) + 1, ...model.values),
];

const large = fc.integer({ min: 1_000, max: 2_600_000 }).map((length) => "v".repeat(length));
/** As JSON gives it back, which has no −0. */
const json = fc.jsonValue({ maxDepth: 2 }).map((any): unknown => JSON.parse(JSON.stringify(any)));
const value = fc.oneof({ weight: 5, arbitrary: json }, { weight: 1, arbitrary: large });
const action = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("append" as const), values: fc.array(value, { maxLength: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("snapshot" as const), value }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const) }) },
  {
    weight: 2,
    // Killed so long after an append, or a snapshot, was begun.
    arbitrary: fc.record({
      kind: fc.constant("kill" as const),
      during: fc.oneof(
        fc.record({ append: fc.array(value, { minLength: 1, maxLength: 3 }) }),
        fc.record({ snapshot: value }),
      ),
      afterMs: fc.integer({ min: 0, max: 25 }),
    }),
  },
);

test.each(STORE_KINDS)(
  "random appends, snapshots, openings and kills leave on %s what they leave in memory",
  async (kind) => {
    const kills = { kept: 0, lost: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 14 }), (actions) =>
        follow(kind, actions, kills),
      ),
      { numRuns: 4, endOnFailure: true },
    );
    expect(kills.kept + kills.lost).toBeGreaterThan(0);
  },
);

type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

async function follow(
  kind: StoreKind,
  actions: readonly Action[],
  kills: { kept: number; lost: number },
): Promise<void> {
  const place =
    kind === "sqlite"
      ? { file: join(tempFolder(), "state.db") }
      : { stream: { ...jetStreamOptions(nats.url), leaseMs: 200 } };
  let model: Model = { snapshot: undefined, values: [] };
  let process = startStoreProcess();
  let term = await process.ask<number>({ open: place });
  for (const step of actions) {
    if (step.kind === "append") {
      model = appended(model, step.values);
      expect(await process.ask({ append: step.values })).toBe(upTo(model) + model.values.length);
    } else if (step.kind === "snapshot") {
      model = snapshotted(model, step.value);
      await process.ask({ snapshot: step.value });
    } else {
      const next = step.kind === "kill" ? whatIfDone(model, step.during) : model;
      if (step.kind === "kill") await process.killDuring(step.during, step.afterMs);
      else await process.ask({ close: true });
      if (step.kind === "kill") process = startStoreProcess();
      const newTerm = await process.ask<number>({ open: place });
      expect(newTerm).toBeGreaterThan(term);
      term = newTerm;
      // What was not acknowledged is there whole, or not at all.
      const entries = await process.ask<LogEntry[]>({ replay: true });
      const isDone = JSON.stringify(entries) === JSON.stringify(entriesOf(next));
      expect(entries).toEqual(entriesOf(isDone ? next : model));
      if (step.kind === "kill") kills[isDone ? "kept" : "lost"]++;
      if (isDone) model = next;
    }
  }
  expect(await process.ask({ replay: true })).toEqual(entriesOf(model));
  await process.ask({ close: true });
  await process.end();
}

type During = Extract<Action, { kind: "kill" }>["during"];

const whatIfDone = (model: Model, during: During): Model =>
  "append" in during ? appended(model, during.append) : snapshotted(model, during.snapshot);
