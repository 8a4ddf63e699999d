import fc from "fast-check";
import { test } from "vitest";
import * as g from "../../../worker/graph/index.ts";
import { checkVjp } from "./check-vjp.ts";

/** Steps from a matrix to a matrix that are smooth, so that differences of any composition are trustworthy. */
const steps: Readonly<Record<string, (x: g.Value, other: g.Value) => g.Value>> = {
  tanh: (x) => g.tanh(x),
  sigmoid: (x) => g.sigmoid(x),
  softmax: (x) => g.softmax(x, 0),
  logSoftmax: (x) => g.logSoftmax(x),
  addOther: (x, other) => g.add(x, other),
  addRow: (x) => g.add(x, g.reduceMean(x, [0])),
  mulColumn: (x) => g.mul(x, g.reduceSum(g.tanh(x), [1], true)),
  divide: (x, other) => g.div(x, g.add(2, g.tanh(other))),
  root: (x) => g.sqrt(g.add(g.mul(x, x), 1)),
  swap: (x) => g.swapLast(x),
  mix: (x) => g.matMul(g.softmax(g.matMul(x, g.swapLast(x))), x),
  rotate: (x) => g.concat([g.slice(x, 0, 1), g.slice(x, 0, 0, 1)], 0),
  flattenAndBack: (x) => g.reshape(g.cumSum(g.reshape(x, [-1]), 0), x.shape),
  twice: (x) => g.gather(x, x.graph.constant(g.tensor("int32", [3], [1, 0, 1])), 0),
};

test("gradients of random compositions agree with central differences", async () => {
  const composition = fc.record({
    names: fc.array(fc.constantFrom(...Object.keys(steps)), { minLength: 2, maxLength: 6 }),
    rows: fc.integer({ min: 2, max: 3 }),
    columns: fc.integer({ min: 2, max: 3 }),
  });

  await fc.assert(
    fc.asyncProperty(composition, ({ names, rows, columns }) =>
      checkVjp({
        op: "Identity",
        note: names.join(" → "),
        shapes: [
          [rows, columns],
          [1, 1],
        ],
        domain: [-1, 1],
        tolerance: 1e-6,
        build: (x, other) => names.reduce((value, name) => steps[name]!(value, other!), x!),
      }),
    ),
    { numRuns: 25, seed: 2026 },
  );
});
