import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Digest, Operation, TensorMap } from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import type { Provider } from "../device-names.ts";
import type { ModelType } from "../models/config.ts";
import { CHECK_MODELS, CHECK_TASK, CHECK_VOCABULARY, writeCheckModel } from "./check-model.ts";
import { deviceOf } from "./device.ts";
import { createLocalExecutor, type LocalExecutor } from "./local-executor.ts";
import { operatorsElsewhere } from "./placements.ts";
import { putCheckpoint } from "./put-checkpoint.ts";

export interface SelfCheckOptions {
  readonly provider: Provider;
  /** The form that programs are built in; its results are compared with the primitive form's on the CPU. */
  readonly programForm: string;
  /** Largest difference that is accepted, relative to the largest value of its kind. */
  readonly tolerance: number;
  /** A folder in which the check may write; it leaves nothing there. */
  readonly folder: string;
  readonly threads: number;
  /** Architectures to check; absent: all. */
  readonly models?: readonly ModelType[];
}

/** What a device computed, against what the CPU computed. */
export interface SelfCheckReport {
  /** Largest relative difference by architecture, operation and tensor, the largest first. */
  readonly differences: readonly Difference[];
  /** Operators that went to another provider, with it: "Add on CPUExecutionProvider". */
  readonly elsewhere: readonly string[];
}

export interface Difference {
  /** "roberta gradient: gradient" */
  readonly what: string;
  readonly relative: number;
}

/** A device, or a form of programs on it, whose results are not those of the CPU. */
export class SelfCheckError extends Error {
  override readonly name = "SelfCheckError";
}

/**
 * Computes the operations of searches and repairs on small built-in models, on the device and on the CPU, and compares logits, gradients and
 * products. The models have random weights from a fixed seed.
 *
 * @throws SelfCheckError with the numbers where one is off by more than the tolerance
 * @throws OperationFailed where the provider cannot be used, or lacks an operator that nobody else has
 */
export async function selfCheck(options: SelfCheckOptions): Promise<SelfCheckReport> {
  const { models = CHECK_MODELS } = options;
  await mkdir(options.folder, { recursive: true });
  const folder = await mkdtemp(join(options.folder, "self-check-"));
  try {
    const differences: Difference[] = [];
    const elsewhere = new Set<string>();
    for (const model of models) {
      const found = await checkModel(model, join(folder, model), options);
      differences.push(...found.differences);
      for (const operator of found.elsewhere) elsewhere.add(operator);
    }
    differences.sort((a, b) => b.relative - a.relative);
    requireNear(differences, options);
    return { differences, elsewhere: [...elsewhere].sort() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws SelfCheckError that names the largest differences, where there are some beyond the tolerance; a NaN is beyond any. */
export function requireNear(
  differences: readonly Difference[],
  { provider, programForm, tolerance }: Pick<SelfCheckOptions, "provider" | "programForm" | "tolerance">,
): void {
  const wrong = differences.filter(({ relative }) => !(relative <= tolerance));
  if (wrong.length === 0) return;
  const named = wrong.slice(0, SHOWN).map(({ what, relative }) => `${what} by ${relative.toPrecision(2)}`);
  const more = wrong.length > SHOWN ? ` and ${wrong.length - SHOWN} more` : "";
  throw new SelfCheckError(
    `its results in the ${programForm} form are off from the CPU's by more than ${tolerance} of the largest value on ${provider}: ${named.join(", ")}${more}`,
  );
}

/** Differences that an error names. */
const SHOWN = 4;

async function checkModel(
  model: ModelType,
  folder: string,
  { provider, programForm, threads }: SelfCheckOptions,
): Promise<SelfCheckReport> {
  const weights = await writeCheckModel(model, join(folder, "model"));
  const profiles = join(folder, "profiles");
  await mkdir(profiles);
  const resultsOf = async (executor: LocalExecutor): Promise<TensorMap[]> => {
    try {
      const checkpoint = await putCheckpoint(executor, join(folder, "model"), CHECK_TASK);
      const operations = await checkOperations(executor, checkpoint, weights);
      return (await executor.execute(operations)).map(({ tensors }) => tensors);
    } finally {
      await executor.close();
    }
  };
  const ours = await resultsOf(
    await createLocalExecutor({
      folder: join(folder, "checked"),
      threads,
      device: deviceOf(provider, programForm),
      profileFolder: profiles,
    }),
  );
  const theirs = await resultsOf(await createLocalExecutor({ folder: join(folder, "reference"), threads }));
  const elsewhere: string[] = [];
  for (const file of await readdir(profiles))
    elsewhere.push(...(await operatorsElsewhere(join(profiles, file), provider)));
  // A logit of a single row may lie near 0, where any difference is large beside it.
  const largestLogit = largestOf(theirs.flatMap(({ logits }) => (logits ? [logits] : [])));
  return {
    differences: KINDS.flatMap((kind, k) => compared(`${model} ${kind}`, ours[k]!, theirs[k]!, largestLogit)),
    elsewhere,
  };
}

const KINDS = ["score", "gradient", "train-step", "rank"] as const;

/** One operation of each of `KINDS`, on rows of one length, so that a program is compiled for few shapes. */
async function checkOperations(
  executor: LocalExecutor,
  checkpoint: Digest,
  weights: TensorMap,
): Promise<Operation[]> {
  const put = (value: unknown) => executor.putArtifact(Buffer.from(canonicalJson(value)));
  const words = (count: number, from: number) =>
    Array.from({ length: count }, (_, k) => 4 + ((from + 7 * k) % (CHECK_VOCABULARY - 4)));
  const row = (from: number) => [...words(15, from), 2];
  const samples = await put({
    rows: [row(1), row(20)],
    insertIndexes: [3, 5],
    maxLen: 32,
    endId: 2,
  });
  const vocabulary = await put({ ids: words(CHECK_VOCABULARY - 4, 0).sort((a, b) => a - b) });
  const on = { checkpoint, samples };
  const gradient = [0, 1].map((k) => Float32Array.from(words(32, k), (id) => id / CHECK_VOCABULARY - 0.5));
  return [
    { kind: "score", ...on, sample: 0, triggers: [words(3, 9), words(3, 30), words(3, 51)] },
    { kind: "gradient", ...on, rows: [1], trigger: words(3, 40), objective: { kind: "label", label: 1 } },
    {
      kind: "train-step",
      ...on,
      weights: await executor.putArtifact(encodeTensors(weights)),
      rows: [0, 1],
      rowWeights: [0.5, 0.5],
      objective: { kind: "labels", labels: [0, 1] },
      dropout: 0,
      dropoutSeed: 0,
    },
    { kind: "rank", checkpoint, vocabulary, gradient, topk: 8 },
  ];
}

/** Tensors of floats; which ids rank first follows from their products, and ties may fall either way. */
function compared(what: string, ours: TensorMap, theirs: TensorMap, largestLogit: number): Difference[] {
  const floats = Object.entries(theirs).flatMap(([name, { data }]) =>
    data instanceof Float32Array ? [{ name, data }] : [],
  );
  // Some gradients are 0 but for rounding, as by a bias that a softmax cancels: those by weights are measured together.
  const isWeight = (name: string): boolean => name.includes(".");
  const largestSlope = largestOf(floats.filter(({ name }) => isWeight(name)));
  const scaleOf = ({ name, data }: (typeof floats)[number]): number => {
    if (name === "logits") return largestLogit;
    return isWeight(name) ? largestSlope : largestOf([{ data }]);
  };
  return floats.map((tensor) => ({
    what: `${what}: ${tensor.name}`,
    relative: apart(ours[tensor.name]?.data ?? [], tensor.data) / scaleOf(tensor),
  }));
}

/** The largest difference; NaN where one is, infinite where the lengths differ. */
export function apart(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let k = 0; k < expected.length; k++) {
    const difference = Math.abs(actual[k]! - expected[k]!);
    if (Number.isNaN(difference)) return difference;
    largest = Math.max(largest, difference);
  }
  return largest;
}

function largestOf(tensors: readonly { readonly data: ArrayLike<number> }[]): number {
  let largest = 0;
  for (const { data } of tensors)
    for (let k = 0; k < data.length; k++) largest = Math.max(largest, Math.abs(data[k]!));
  return largest;
}
