import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { workerIdOf } from "../../../coordinator/dispatch/worker-id.ts";
import { SUBJECT_TOKEN } from "../../../proto/subjects.ts";

const idOf = (workerId: string, incarnation: string): string => {
  const { id, problem } = workerIdOf({ workerId, incarnation }, true);
  expect(problem).toBeUndefined();
  return id;
};

test("a worker that dials again has its id again, and another one of its name another id", () => {
  const [mine, others] = [randomUUID(), randomUUID()];
  const id = idOf("gpu-1", mine);
  expect(id).toMatch(/^gpu-1-[0-9a-f]{20}$/);
  expect(idOf("gpu-1", mine)).toBe(id);
  expect(idOf("gpu-1", others)).not.toBe(id);
});

test("nobody gets an id by asking for it", () => {
  const id = idOf("gpu-1", randomUUID());
  expect(idOf(id, randomUUID())).not.toBe(id);
});

test("an id is a token of a subject, however long the name is", () => {
  const id = idOf("n".repeat(64), randomUUID());
  expect(id).toMatch(SUBJECT_TOKEN);
  expect(id).toHaveLength(64);
});

test("where nothing is proven a worker is called what it says", () => {
  expect(workerIdOf({ workerId: "gpu-1", incarnation: "" }, false)).toEqual({ id: "gpu-1" });
});

test("an incarnation that somebody could guess is refused", () => {
  expect(workerIdOf({ workerId: "gpu-1", incarnation: "guess" }, true).problem).toBe(
    "incarnation: it has 5 characters, at least 22 are needed so that nobody guesses it",
  );
});
