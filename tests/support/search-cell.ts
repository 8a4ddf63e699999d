import { join } from "node:path";
import type { Digest, SampleSet } from "../../proto/operations.ts";
import { createLocalExecutor, type LocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { putJson } from "./golden-cell.ts";
import { readSharedJson, sharedPath } from "./shared.ts";
import { tempFolder } from "./temp-folder.ts";

type Matrix = readonly (readonly number[])[];

interface Forward {
  readonly code_vec: Matrix;
  readonly nl_vec: Matrix;
  readonly scores: Matrix;
  readonly loss: number;
}

interface Slope {
  readonly embedding: Matrix;
  readonly topk_ids: Matrix;
}

/** The parts of a `golden/tiny` code-search cell that the engine's tests read; the golden README explains each. */
export interface GoldenSearchCell {
  readonly cell: {
    readonly block: number;
    readonly query_block: number;
    readonly ids: { readonly eos_restored: number };
  };
  readonly inputs: {
    readonly input_ids: Matrix;
    readonly lengths: readonly number[];
    readonly query_ids: Matrix;
    readonly query_lengths: readonly number[];
  };
  readonly forward: Forward;
  readonly trigger: {
    readonly ids: readonly number[];
    readonly insert_index: readonly number[];
    readonly target_ids: readonly number[];
    readonly query_insert_index: readonly number[];
    readonly forward: Forward;
  };
  readonly gradient: { readonly vocab: readonly number[]; readonly trigger: Slope; readonly target: Slope };
  readonly candidates: {
    readonly triggers: Matrix;
    readonly targets: Matrix;
    readonly loss: Matrix;
    readonly winner: readonly [number, number];
  };
  readonly steps: readonly {
    readonly trigger: readonly number[];
    readonly target: readonly number[];
    readonly loss_at_trigger: number;
    readonly topk_ids: Matrix;
    readonly target_topk_ids: Matrix;
    readonly candidates: Matrix;
    readonly target_candidates: Matrix;
    readonly loss_mean: Matrix;
    readonly winner: readonly [number, number];
    readonly best_so_far: {
      readonly step: number;
      readonly trigger: readonly number[];
      readonly target: readonly number[];
      readonly loss: number;
    };
  }[];
  readonly training: {
    readonly steps: readonly {
      readonly samples: readonly number[];
      readonly loss: number;
      readonly grad_norm: number;
    }[];
    readonly first_gradients: Readonly<Record<string, { readonly $array: string }>>;
  };
}

type PlacedRows = SampleSet & { readonly insertIndexes: readonly number[] };

export interface OpenSearchCell {
  readonly golden: GoldenSearchCell;
  readonly folder: string;
  readonly executor: LocalExecutor;
  readonly checkpoint: Digest;
  /** The cell's rows without padding, with their insert indexes. */
  readonly sets: { readonly codes: PlacedRows; readonly queries: PlacedRows };
  /** The same as the executor knows them. */
  readonly codes: Digest;
  readonly queries: Digest;
}

export const searchCells = ["codebert", "unixcoder", "codet5"].map((arch) => `code_search-${arch}`);

/** A cell's checkpoint, codes and queries on an executor in this process. */
export async function openSearchCell(name: string): Promise<OpenSearchCell> {
  const golden = readSharedJson<GoldenSearchCell>("golden", "tiny", name, "case.json");
  const { cell, inputs, trigger } = golden;
  const folder = sharedPath("golden", "tiny", name);
  const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
  const placed = (
    ids: Matrix,
    lengths: readonly number[],
    insertIndexes: readonly number[],
    maxLen: number,
  ): PlacedRows => ({
    rows: ids.map((row, index) => row.slice(0, lengths[index])),
    insertIndexes,
    maxLen,
    endId: cell.ids.eos_restored,
  });
  const sets = {
    codes: placed(inputs.input_ids, inputs.lengths, trigger.insert_index, cell.block),
    queries: placed(inputs.query_ids, inputs.query_lengths, trigger.query_insert_index, cell.query_block),
  };
  return {
    golden,
    folder,
    executor,
    checkpoint: await putCheckpoint(executor, folder, "code_search"),
    sets,
    codes: await putJson(executor, sets.codes),
    queries: await putJson(executor, sets.queries),
  };
}
