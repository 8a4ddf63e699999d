import { join } from "node:path";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Digest, Executor, SampleSet } from "../../proto/operations.ts";
import { createLocalExecutor, type LocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { readSharedJson, sharedPath } from "./shared.ts";
import { tempFolder } from "./temp-folder.ts";

interface Forward {
  readonly logits: readonly (readonly number[])[];
  readonly prob: readonly (readonly number[])[];
  readonly features: readonly (readonly number[])[];
  readonly loss: readonly number[];
}

/** The parts of a `golden/tiny` classification cell that the engine's tests read; the golden README explains each. */
export interface GoldenCell {
  readonly cell: { readonly block: number; readonly ids: { readonly eos_restored: number } };
  readonly inputs: {
    readonly input_ids: readonly (readonly number[])[];
    readonly lengths: readonly number[];
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
  readonly checkpoint: Digest;
  /** The cell's rows without padding, with their insert indexes. */
  readonly samples: Digest;
}

export const putJson = (executor: Executor, value: unknown): Promise<Digest> =>
  executor.putArtifact(Buffer.from(canonicalJson(value)));

/** A cell's checkpoint and rows on an executor in this process. */
export async function openCell(name: string, threads = 1): Promise<OpenCell> {
  const golden = readSharedJson<GoldenCell>("golden", "tiny", name, "case.json");
  const folder = sharedPath("golden", "tiny", name);
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads });
  const samples: SampleSet = {
    rows: golden.inputs.input_ids.map((row, index) => row.slice(0, golden.inputs.lengths[index])),
    insertIndexes: golden.trigger.insert_index,
    maxLen: golden.cell.block,
    endId: golden.cell.ids.eos_restored,
  };
  return {
    golden,
    folder,
    executor,
    checkpoint: await putCheckpoint(executor, folder, "defect_detection"),
    samples: await putJson(executor, samples),
  };
}
