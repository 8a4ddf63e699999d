import fc from "fast-check";
import { expect, test } from "vitest";
import {
  EVENTS,
  isActive,
  isLive,
  type JobEvent,
  type JobPhase,
  JobState,
  moved,
  takes,
} from "../../../coordinator/sweep/job-state.ts";
import { events, repair, states } from "../../support/sweeps.ts";

const kinds = Object.keys(events) as JobEvent["kind"][];
const phases = Object.keys(states) as JobPhase[];

/** Every transition that there is; what is not here is refused. */
const transitions: readonly (readonly [JobPhase, JobEvent["kind"], JobPhase])[] = [
  ["queued", "started", "scanning"],
  ["queued", "failed", "failed"],
  ["queued", "cancelled", "cancelled"],
  ["queued", "taken-back", "queued"],
  ["scanning", "scanned", "unlearning"],
  ["scanning", "failed", "failed"],
  ["scanning", "cancelled", "cancelled"],
  ["scanning", "taken-back", "scanning"],
  ["unlearning", "unlearned", "evaluating"],
  ["unlearning", "failed", "failed"],
  ["unlearning", "cancelled", "cancelled"],
  ["unlearning", "taken-back", "scanning"],
  ["evaluating", "evaluated", "done"],
  ["evaluating", "failed", "failed"],
  ["evaluating", "cancelled", "cancelled"],
  ["evaluating", "taken-back", "scanning"],
  ["done", "doubted", "done"],
  ["failed", "retried", "queued"],
  ["failed", "taken-back", "failed"],
  ["cancelled", "retried", "queued"],
  ["cancelled", "taken-back", "cancelled"],
];

test.each(transitions)("a job that is %s and is %s is then %s", (from, kind, to) => {
  expect(takes(states[from], events[kind])).toBe(true);
  expect(moved(states[from], events[kind] as never).phase).toBe(to);
});

test("there is no other transition", () => {
  const possible = phases.flatMap((from) => EVENTS[from].map((kind) => [from, kind]));
  expect(possible).toEqual(transitions.map(([from, kind]) => [from, kind]));
  for (const from of phases)
    for (const kind of kinds)
      expect(takes(states[from], events[kind]), `${from}, ${kind}`).toBe(
        transitions.some(([phase, event]) => phase === from && event === kind),
      );
});

test("a state keeps what its event brought", () => {
  expect(moved(states.scanning, events.scanned)).toEqual({ phase: "unlearning" });
  expect(moved(states.scanning, { kind: "scanned", found: 0 })).toEqual({
    phase: "evaluating",
    repair: null,
  });
  expect(moved(states.unlearning, events.unlearned)).toEqual({ phase: "evaluating", repair });
  expect(moved(states.evaluating, events.evaluated)).toEqual({ phase: "done", report: { asr: 1 } });
  expect(moved(states.done, events.doubted)).toEqual({ ...states.done, doubted: "worker w1 lied" });
  expect(moved(states.queued, events.failed)).toEqual({ phase: "failed", reason: "no worker fits" });
});

test("the compiler refuses an event that a state does not take", () => {
  // @ts-expect-error: a job that waits has scanned nothing
  moved(states.queued, events.scanned);
  // @ts-expect-error: a job that is done stays done
  moved(states.done, events.retried);
  // @ts-expect-error: a job that failed has to be retried first
  moved(states.failed, events.started);
});

test("whatever happens in whatever order, a job has a legal state, and one that is done stays so", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...kinds), { maxLength: 40 }), (sequence) => {
      let state: JobState = states.queued;
      for (const kind of sequence) {
        const before: JobState = state;
        if (!takes(before, events[kind])) continue;
        if (before.phase === "done") expect(kind).toBe("doubted");
        state = moved(before, events[kind] as never);
        expect(JobState.parse(state)).toEqual(state);
        if (!isLive(before) && kind !== "retried")
          expect(moved(before, events[kind] as never).phase).toBe(before.phase);
        if (kind === "started") expect(before.phase).toBe("queued");
        if (isActive(state)) expect(isLive(state)).toBe(true);
      }
    }),
  );
});
