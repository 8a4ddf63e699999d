import { formatShape } from "../dims.ts";
import { ANY, INTEGERS } from "../dtype.ts";
import { type InferContext, type Operator, parameter } from "./call.ts";

function expectWithin(call: InferContext, index: number, axis: number): void {
  const { shape } = call.x(0);
  call.expectRank(index, shape.length, shape.length);
  for (const [at, dim] of shape.entries()) {
    const given = call.x(index).shape[at]!;
    if (
      at === axis ||
      given === dim ||
      (typeof given === "number" && typeof dim === "number" && given <= dim)
    )
      continue;
    if (given === 1) continue;
    call.fail(`dimension ${call.describeDim(index, at)} exceeds ${call.describeDim(0, at)}`);
  }
}

/** Operators that take from or put to places given by index; negative indices count from the end. */
export const indexing = {
  Gather: {
    parameters: [parameter("data", ANY), parameter("indices", INTEGERS)],
    attributes: { axis: "int" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const axis = call.axis(call.int("axis", 0), shape.length, call.describe(0));
      return [{ dtype, shape: [...shape.slice(0, axis), ...call.x(1).shape, ...shape.slice(axis + 1)] }];
    },
  },
  GatherElements: {
    parameters: [parameter("data", ANY), parameter("indices", INTEGERS)],
    attributes: { axis: "int" },
    infer: (call) => {
      const axis = call.axis(call.int("axis", 0), call.x(0).shape.length, call.describe(0));
      expectWithin(call, 1, axis);
      return [{ dtype: call.x(0).dtype, shape: call.x(1).shape }];
    },
  },
  /** reduction "none" (indices must not repeat) or "add". */
  ScatterElements: {
    parameters: [parameter("data", ANY, "T"), parameter("indices", INTEGERS), parameter("updates", ANY, "T")],
    attributes: { axis: "int", reduction: "string" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const axis = call.axis(call.int("axis", 0), shape.length, call.describe(0));
      const reduction = call.string("reduction", "none");
      if (reduction !== "none" && reduction !== "add") {
        call.fail(`attribute 'reduction' is '${reduction}', expected 'none' or 'add'`);
      }
      expectWithin(call, 1, axis);
      const [indices, updates] = [call.x(1).shape, call.x(2).shape];
      if (formatShape(indices) !== formatShape(updates)) {
        call.fail(`${call.describe(1)} and ${call.describe(2)} differ in shape`);
      }
      return [{ dtype, shape }];
    },
  },
} satisfies Record<string, Operator>;
