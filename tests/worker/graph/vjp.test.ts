import { describe, expect, test } from "vitest";
import type * as g from "../../../worker/graph/index.ts";
import { forwardOnly, nonDifferentiable, operators, vjps } from "../../../worker/graph/index.ts";
import { checkVjp } from "./check-vjp.ts";
import { elementwise } from "./vjp-cases/elementwise.ts";
import { indexings } from "./vjp-cases/indexings.ts";
import { matrices } from "./vjp-cases/matrices.ts";
import { movements } from "./vjp-cases/movements.ts";
import { normalizations, reductions } from "./vjp-cases/reductions.ts";

const cases = [...elementwise, ...reductions, ...normalizations, ...matrices, ...movements, ...indexings];

describe("the gradient rule agrees with central differences", () => {
  for (const op of Object.keys(vjps) as g.OpType[]) {
    test(op, async () => {
      for (const check of cases.filter((one) => one.op === op)) await checkVjp(check);
    });
  }
});

test("every gradient rule is checked", () => {
  const checked = new Set<string>(cases.map(({ op }) => op));

  expect(Object.keys(vjps).filter((op) => !checked.has(op))).toEqual([]);
});

test("every operator has a rule, or is declared to be without gradient, or forward only", () => {
  for (const op of Object.keys(operators) as g.OpType[]) {
    const declared = [op in vjps, nonDifferentiable.has(op), op in forwardOnly];
    expect(declared.filter(Boolean), op).toHaveLength(1);
  }
});
