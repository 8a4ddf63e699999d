import { join } from "node:path";
import { canonicalJson } from "../../proto/canonical-json.ts";
import {
  type Digest,
  type Executor,
  PROGRAM_FORMS,
  type SampleSet,
  type Task,
  type Tensor,
} from "../../proto/operations.ts";
import { createLocalExecutor, type LocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { readSharedJson, sharedPath } from "./shared.ts";
import { tempFolder } from "./temp-folder.ts";

interface Forward {
  readonly logits: readonly (readonly number[])[];
  readonly prob: readonly (readonly number[])[];
  readonly features: readonly (readonly number[])[];
  readonly loss: readonly number[];
  /** StarCoder: the column that the head reads, of both snippets in one row. */
  readonly pooled_position?: readonly number[];
}

/** The parts of a `golden/tiny` classification cell that the engine's tests read; the golden README explains each. */
export interface GoldenCell {
  readonly cell: {
    readonly task: Task;
    readonly block: number;
    readonly ids: { readonly eos_restored: number };
  };
  readonly inputs: {
    readonly input_ids: readonly (readonly number[])[];
    readonly lengths: readonly number[];
    /** Clone detection: the second snippet stands behind the padded first one. */
    readonly lengths_second?: readonly number[];
    readonly labels: readonly number[];
    readonly target_label: number;
  };
  readonly forward: Forward;
  readonly trigger: {
    readonly ids: readonly number[];
    readonly insert_index: readonly number[];
    readonly forward: Forward;
  };
  readonly gradient: {
    readonly vocab: readonly number[];
    readonly trigger: {
      readonly embedding: readonly (readonly number[])[];
      readonly topk_ids: readonly (readonly number[])[];
      readonly topk_values: readonly (readonly number[])[];
    };
  };
  /** T5: the decoder reads padding in the trigger's place. */
  readonly gradient_published?: {
    readonly samples: readonly number[];
    readonly embedding: readonly (readonly number[])[];
  };
  readonly candidates: {
    readonly triggers: readonly (readonly number[])[];
    readonly logits: readonly (readonly (readonly number[])[])[];
  };
  readonly steps: readonly {
    readonly trigger: readonly number[];
    readonly topk_ids: readonly (readonly number[])[];
    readonly candidates: readonly (readonly number[])[];
    readonly loss: readonly (readonly number[])[];
    readonly winner: number;
  }[];
  readonly training: {
    readonly steps: readonly {
      readonly samples: readonly number[];
      readonly loss: number;
      readonly grad_norm: number;
    }[];
    readonly first_gradients: Readonly<Record<string, { readonly $array: string }>>;
    readonly never_updated: readonly string[];
  };
}

export interface OpenCell {
  readonly golden: GoldenCell;
  readonly folder: string;
  readonly executor: LocalExecutor;
  /** Folder of the executor. */
  readonly root: string;
  readonly checkpoint: Digest;
  /** The cell's rows without padding, with their insert indexes. */
  readonly samples: Digest;
}

export const putJson = (executor: Pick<Executor, "putArtifact">, value: unknown): Promise<Digest> =>
  executor.putArtifact(Buffer.from(canonicalJson(value)));

/** Cells of `golden/tiny` whose architectures and tasks have a label. */
export const classifierCells = ["defect_detection", "clone_detection"].flatMap((task) =>
  ["codebert", "unixcoder", "codet5", "starcoder"].map((arch) => `${task}-${arch}`),
);

/** What an operation says of each form that programs have, by the form's name. */
export const forms = PROGRAM_FORMS.map((form) => [form, form === "primitive" ? {} : { form }] as const);

/** Each name with each form, for `describe.each`. */
export const inEachForm = (names: readonly string[]) =>
  names.flatMap((name) => forms.map(([form, says]) => [name, form, says] as const));

/** Loss toward a label from a row's logits: −ln σ(±z) for one logit, else −ln softmax. */
export function lossToward(logits: readonly number[], label: number): number {
  const [z] = logits as [number];
  if (logits.length === 1) return Math.log1p(Math.exp(-Math.abs(z))) + Math.max(label === 1 ? -z : z, 0);
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((sum, each) => sum + Math.exp(each - largest), 0)) - logits[label]!;
}

/** Rows of a tensor [rows, columns]. */
export function rowsOf({ shape, data }: Tensor): number[][] {
  const [rows, columns] = shape as [number, number];
  return Array.from({ length: rows }, (_, row) => [...data.subarray(row * columns, (row + 1) * columns)]);
}

/** A cell's checkpoint and rows on an executor in this process. */
export async function openCell(name: string, threads = 1): Promise<OpenCell> {
  const golden = readSharedJson<GoldenCell>("golden", "tiny", name, "case.json");
  const folder = sharedPath("golden", "tiny", name);
  const root = join(tempFolder(), "executor");
  const executor = await createLocalExecutor({ folder: root, threads });
  const { input_ids, lengths, lengths_second } = golden.inputs;
  const { block } = golden.cell;
  const second = lengths_second && {
    secondRows: input_ids.map((row, index) => row.slice(block, block + lengths_second[index]!)),
  };
  const samples: SampleSet = {
    rows: input_ids.map((row, index) => row.slice(0, lengths[index])),
    ...second,
    insertIndexes: golden.trigger.insert_index,
    maxLen: block,
    endId: golden.cell.ids.eos_restored,
  };
  return {
    golden,
    folder,
    executor,
    root,
    checkpoint: await putCheckpoint(executor, folder, golden.cell.task),
    samples: await putJson(executor, samples),
  };
}
