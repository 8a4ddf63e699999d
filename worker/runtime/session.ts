import { dirname } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { OperationFailed } from "../../proto/operation-failed.ts";
import type { Tensor } from "../../proto/operations.ts";
import type { Provider } from "../device-names.ts";

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

export interface SessionOptions {
  /** What computes; absent: the CPU. Operators that it lacks go to the CPU without a word: `placements.ts` finds them. */
  readonly provider?: Provider;
  readonly threads: number;
  /**
   * Copies weights into the layout of the matrix kernels. A backward pass uses most weights in two directions, and the
   * two copies cost more memory than they save time (codebert-base, one row: 1.2 GB against 0.85 GB, no slower); without, weights
   * stay mapped.
   */
  readonly packWeights: boolean;
  /** Where the weights lie; absent: beside the program. */
  readonly weightsFolder?: string;
  /** Beginning of the path of a JSON file with what every operator did, written when the session is released. */
  readonly profilePrefix?: string;
}

/**
 * Compiles the program in an `.onnx` file, whose weights lie beside it or in a folder of their own, and are mapped from there.
 * Throws OperationFailed where onnxruntime refuses it, or cannot use the provider.
 */
export async function createSession(
  path: string,
  { provider = "cpu", threads, packWeights, weightsFolder = dirname(path), profilePrefix }: SessionOptions,
): Promise<Session> {
  // Since 1.29 the runtime on Linux reports its use to its maker, names and hashes of models included, and leaves files in the
  // temporary folder, unless this is set before the first session.
  process.env.ORT_DISABLE_TELEMETRY = "1";
  // CUDA's matrix products would round their operands to 10 bits on newer GPUs, and onnxruntime-node has no option for it.
  if (provider === "cuda") process.env.NVIDIA_TF32_OVERRIDE ??= "0";
  const session = await InferenceSession.create(path, {
    executionProviders: [provider],
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A memory pattern is kept for every shape that was ever seen, and tiles have many.
    enableMemPattern: false,
    ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
    extra: {
      session: {
        disable_prepacking: packWeights ? "0" : "1",
        ...(weightsFolder === dirname(path)
          ? {}
          : { model_external_initializers_file_folder_path: weightsFolder }),
        // Threads that wait must not burn the cores of other processes.
        intra_op: { allow_spinning: "0" },
      },
    },
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
