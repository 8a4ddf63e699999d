import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { encodeOnnx, type Graph, type Tensor } from "../../worker/graph/index.ts";

/** Runs a program once in onnxruntime. Feeds and results are tensors by name. */
export async function runProgram(
  graph: Graph,
  feeds: Readonly<Record<string, Tensor>> = {},
  options: InferenceSession.SessionOptions = {},
): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(encodeOnnx(graph), { ...sessionOptions, ...options });
  try {
    return await runSession(session, feeds);
  } finally {
    await session.release();
  }
}

/** One thread and the CPU, so that tests do not depend on the machine. */
export const sessionOptions: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  logSeverityLevel: 3,
};

export async function runSession(
  session: InferenceSession,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  const ort = Object.entries(feeds).map(([name, { dtype, shape, data }]) => [
    name,
    new OrtTensor(dtype as "float32", data as Float32Array, shape),
  ]);
  const results = await session.run(Object.fromEntries(ort) as InferenceSession.FeedsType);
  return Object.fromEntries(
    Object.entries(results).map(([name, { type, dims, data }]) => [
      name,
      { dtype: type, shape: dims, data } as unknown as Tensor,
    ]),
  );
}

/** Elements as plain numbers. */
export const numbersOf = ({ data }: Tensor): number[] =>
  Array.from(data as ArrayLike<number | bigint>, Number);
