import { expect, test } from "vitest";
import { leasesIn, only, scene } from "./scene.ts";

const onCpu = { workerId: "w1", deviceClass: "cpu" };
const onGpu = { workerId: "w2", deviceClass: "cuda" };

test("a result that came before its operation answers it, and nobody gets a lease", () => {
  const { state, join, submitLate } = scene();
  join(1, { credit: 4 });
  const decisions = submitLate("a", [onGpu, onCpu]);
  expect(only(decisions, "resolve", "lease")).toEqual([{ kind: "resolve", key: "s/a", early: 1 }]);
  expect(state.operations.size + state.lanes.size + state.keysOf.size).toBe(0);
});

test("it needs no worker where the scope's class is known, as that of a job that goes on", () => {
  const { submitLate } = scene();
  expect(only(submitLate("a", [onGpu, onCpu], "cuda"), "resolve")).toMatchObject([{ early: 0 }]);
});

test("it becomes no scope's class while no worker of that class is there, and never answers one of another class", () => {
  const { join, submitLate, state } = scene();
  expect(only(submitLate("a", [onCpu]), "resolve")).toEqual([]);
  expect(leasesIn(join(1, { deviceClass: "cuda" }))).toEqual(["a → 1"]);
  expect(only(submitLate("b", [onCpu]), "resolve")).toEqual([]);
  expect(state.lanes.size).toBe(1);
});

test("a result that comes before any worker is not accepted, so that its sender gives it again when it is there", () => {
  const { join, submit, valid } = scene();
  submit("a");
  expect(valid("a", "w1")).toEqual([]);
  expect(only(join(1, { credit: 0 }), "accept")).toEqual([]);
  expect(only(valid("a", "w1"), "resolve", "accept")).toHaveLength(2);
});

test("what was answered is known for a while, so that duplicates are told from early results", () => {
  const { join, submit, valid, state } = scene();
  join(1, { credit: 2 });
  submit("a", "b");
  valid("a", "w1");
  expect(state.answered.has("a")).toBe(true);
});

test("a result becomes no scope's class whose workers cannot do all that the scope asks for", () => {
  const { join, submitFor, submitOf, valid, state } = scene();
  join(1, { credit: 1 });
  submitFor("model", "other", "a");
  submitOf({ forms: ["fused"] }, "model", "s", "a");
  expect(only(valid("a", "w1"), "resolve", "accept")).toMatchObject([{ key: "other/a" }, { kind: "accept" }]);
  expect(state.scopes.get("s")!.isSettled).toBe(false);
  expect(leasesIn(join(2, { deviceClass: "cuda", forms: ["fused", "primitive"] }))).toEqual(["a → 2"]);
});

test("a lease that was lost binds nobody: what its class gives from far away waits until it is there", () => {
  const { join, submit, valid, on } = scene();
  join(1);
  submit("a");
  on({ kind: "left", session: 1, reason: "killed" });
  expect(valid("a", "w1")).toEqual([]);
  expect(leasesIn(join(2, { deviceClass: "cuda" }))).toEqual(["a → 2"]);
});
