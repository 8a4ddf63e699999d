import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { OperationFailed } from "../../proto/operation-failed.ts";
import type { Tensor } from "../../proto/operations.ts";

/** A compiled program. */
export interface Session {
  /** What it is fed: dimensions are numbers, or symbols bound by the tensors of a run. */
  readonly inputs: readonly { readonly name: string; readonly shape: readonly (number | string)[] }[];
  readonly outputs: readonly string[];
  /** Computes the asked outputs, which are all float32. The run blocks this process. */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs: readonly string[],
  ): Promise<Record<string, Tensor<Float32Array>>>;
  /** Gives its memory back. */
  release(): Promise<void>;
}

/**
 * Compiles the program in an `.onnx` file, whose weights lie beside it and are mapped from there, on the CPU.
 * Throws OperationFailed where onnxruntime refuses it.
 */
export async function createSession(
  path: string,
  { threads }: { readonly threads: number },
): Promise<Session> {
  const session = await InferenceSession.create(path, {
    executionProviders: ["cpu"],
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Threads that wait must not burn the cores of other processes.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  }).catch((cause: Error) => {
    throw new OperationFailed(`onnxruntime does not load ${path}: ${cause.message}`, { cause });
  });
  return {
    inputs: session.inputMetadata.map((input) => ({
      name: input.name,
      shape: input.isTensor ? input.shape : [],
    })),
    outputs: session.outputNames,
    async run(feeds, outputs) {
      const values = Object.entries(feeds).map(([name, { shape, data }]) => [
        name,
        data instanceof Int32Array
          ? new OrtTensor("int32", data, shape)
          : new OrtTensor("float32", data, shape),
      ]);
      const results = await session.run(Object.fromEntries(values), [...outputs]);
      return Object.fromEntries(
        outputs.map((name) => {
          const { dims, data } = results[name]!;
          return [name, { shape: dims, data: data as Float32Array }];
        }),
      );
    },
    release: () => session.release(),
  };
}
