import { InferenceSession } from "onnxruntime-node";
import { expect } from "vitest";
import { elementCount } from "../../../worker/graph/dims.ts";
import {
  type Dim,
  type DType,
  encodeOnnx,
  formatShape,
  Graph,
  gather,
  gradient,
  type OpType,
  range,
  reshape,
  type Tensor,
  tensor,
  type Value,
} from "../../../worker/graph/index.ts";
import { numbersOf, runSession, sessionOptions } from "../../support/run-program.ts";
import { uniform } from "../../support/uniform.ts";

/** Random directions per input, along which the slope of the loss is measured; a wrong rule agrees with none of them. */
const DIRECTIONS = 3;

/** One use of an operator, whose gradient toward every input is compared with central differences. */
export interface VjpCase {
  readonly op: OpType;
  readonly note?: string;
  /** Shapes of the differentiated inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly build: (...inputs: readonly Value[]) => Value;
  /** float64 unless onnxruntime has the kernel in float32 only. */
  readonly dtype?: "float32" | "float64";
  /** Largest error, relative to gradients above 1; 1e-8 in float64, 3e-4 in float32. */
  readonly tolerance?: number;
  /** Range of the random inputs, [-2, 2] unless given. */
  readonly domain?: readonly [number, number];
  /** Elements are distinct by more than a step, and not near 0: for operators with a kink where elements meet. */
  readonly spread?: boolean;
  /** `build` names sizes in numbers, so the check with symbolic dimensions is left out. */
  readonly sized?: boolean;
}

/** The gradient agrees with differences of fourth order, and a program with symbolic dimensions gives the same gradient. */
export async function checkVjp(check: VjpCase): Promise<void> {
  const precise = check.dtype !== "float32";
  const inputs = randomInputs(check);
  const session = await createSession(check, (dim) => dim);
  try {
    const result = await runSession(session, feedsOf(check, inputs));
    const step = precise ? 1e-3 : 3e-2;
    const tolerance = check.tolerance ?? (precise ? 1e-8 : 3e-4);
    for (const [index, values] of inputs.entries()) {
      const analytic = numbersOf(result[`g${index}`]!);
      for (let direction = 0; direction < DIRECTIONS; direction++) {
        const towards = values.map(() => 2 * random() - 1);
        const loss = async (distance: number) => {
          const moved = values.map((value, at) => value + distance * towards[at]!);
          return weightedSum((await runSession(session, feedsOf(check, inputs.with(index, moved)))).y!);
        };
        const near = (await loss(step)) - (await loss(-step));
        const far = (await loss(2 * step)) - (await loss(-2 * step));
        const numeric = (8 * near - far) / (12 * step);
        const slope = analytic.reduce((sum, element, at) => sum + element * towards[at]!, 0);
        if (!(Math.abs(slope - numeric) < tolerance * Math.max(1, Math.abs(numeric)))) {
          const use = `${check.op} of ${check.shapes.map(formatShape).join(", ")} ${check.note ?? ""}`;
          expect.fail(`${use}: toward input ${index} the rule gives ${slope}, differences give ${numeric}`);
        }
      }
    }
    if (!check.sized) await checkSymbolic(check, inputs, result);
  } finally {
    await session.release();
  }
}

async function checkSymbolic(
  check: VjpCase,
  inputs: readonly (readonly number[])[],
  expected: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const session = await createSession(check, (dim) => (dim === 1 ? 1 : `d${dim}`));
  try {
    const result = await runSession(session, feedsOf(check, inputs));
    for (const [name, value] of Object.entries(expected)) {
      expect(result[name]!.shape, `${name} with symbolic dimensions`).toEqual(value.shape);
      const [actual, wanted] = [numbersOf(result[name]!), numbersOf(value)];
      for (const [at, number] of wanted.entries()) expect(actual[at]).toBeCloseTo(number, 5);
    }
  } finally {
    await session.release();
  }
}

/** A program of y, and of the gradients of Σ weights·y toward each input. */
function createSession(check: VjpCase, dimOf: (dim: number) => Dim): Promise<InferenceSession> {
  const graph = new Graph();
  const dtype: DType = check.dtype ?? "float64";
  const inputs = check.shapes.map((shape, index) => graph.input(`x${index}`, dtype, shape.map(dimOf)));
  const y = check.build(...inputs);
  const table = graph.constant(tensor(dtype, [lossWeights.length], lossWeights));
  const seed = reshape(gather(table, range(graph, elementCount(y.shape))), y.shape);
  graph.output("y", y);
  for (const [index, g] of gradient(graph, y, inputs, seed).entries()) graph.output(`g${index}`, g);
  return InferenceSession.create(encodeOnnx(graph), sessionOptions);
}

function feedsOf(check: VjpCase, inputs: readonly (readonly number[])[]): Record<string, Tensor> {
  const dtype = check.dtype ?? "float64";
  return Object.fromEntries(
    inputs.map((values, index) => [`x${index}`, tensor(dtype, check.shapes[index]!, values)]),
  );
}

function randomInputs({ shapes, domain: [low, high] = [-2, 2], spread }: VjpCase): number[][] {
  const counts = shapes.map((shape) => shape.reduce((product, dim) => product * dim, 1));
  if (!spread) {
    return counts.map((count) => Array.from({ length: count }, () => low + (high - low) * random()));
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const places = Array.from({ length: total }, (_, i) => low + ((high - low) * (i + 0.25)) / total);
  const shuffled = places.map((value) => ({ value, key: random() })).sort((a, b) => a.key - b.key);
  return counts.map((count) => shuffled.splice(0, count).map(({ value }) => value));
}

const weightedSum = (y: Tensor): number =>
  numbersOf(y).reduce((sum, value, index) => sum + value * lossWeights[index]!, 0);

const random = uniform(1);
const lossWeights = Array.from(
  { length: 256 },
  () => Math.fround(0.5 + random()) * (random() < 0.5 ? -1 : 1),
);
