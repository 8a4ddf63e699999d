import { digestOf } from "../../proto/canonical-json.ts";
import type {
  Operation,
  OperationResult,
  SampleSet,
  Tensor,
  TensorMap,
  Vocabulary,
} from "../../proto/operations.ts";

/**
 * Stands for a model where only the search's decisions are tested: every logit, gradient and embedding is a fixed function of
 * its inputs, drawn from their digest. Sums over trigger tokens make good tokens good in any company, as models do.
 */
export function createTableExecutor({ hidden = 4, classes = 1 } = {}) {
  const artifacts = new Map<string, unknown>();
  const executed: Operation[] = [];
  const run = (operation: Operation): OperationResult => {
    executed.push(operation);
    const tensors = answer(operation, { artifacts, hidden, classes });
    return { tensors, forwards: 0, tokens: 0, seconds: 0 };
  };
  return {
    /** Every operation so far, in order. */
    executed,
    async execute(operations: readonly Operation[], signal?: AbortSignal): Promise<OperationResult[]> {
      signal?.throwIfAborted();
      return operations.map(run);
    },
    async putArtifact(bytes: Uint8Array): Promise<string> {
      const digest = digestOf(bytes);
      artifacts.set(digest, JSON.parse(new TextDecoder().decode(bytes)));
      return digest;
    },
    async putFile(): Promise<string> {
      throw new Error("this executor takes no files");
    },
  };
}

interface World {
  readonly artifacts: ReadonlyMap<string, unknown>;
  readonly hidden: number;
  readonly classes: number;
}

function answer(operation: Operation, { artifacts, hidden, classes }: World): TensorMap {
  switch (operation.kind) {
    case "score": {
      const { rows, insertIndexes } = artifacts.get(operation.samples) as SampleSet;
      const row = [...rows[operation.sample]!, insertIndexes![operation.sample]!];
      return { logits: matrix(operation.triggers.map((trigger) => logitsOf(row, trigger, classes))) };
    }
    case "predict": {
      const { rows } = artifacts.get(operation.samples) as SampleSet;
      return { logits: matrix(operation.rows.map((row) => logitsOf(rows[row]!, [], classes))) };
    }
    case "gradient": {
      const { rows, insertIndexes } = artifacts.get(operation.samples) as SampleSet;
      const { trigger } = operation;
      const gradient = operation.rows.flatMap((row) =>
        trigger.flatMap((id, k) => draws(["g", row, id, k], hidden)),
      );
      return {
        gradient: {
          shape: [operation.rows.length, trigger.length, hidden],
          data: Float32Array.from(gradient),
        },
        logits: matrix(
          operation.rows.map((row) => logitsOf([...rows[row]!, insertIndexes![row]!], trigger, classes)),
        ),
      };
    }
    case "rank": {
      const { ids } = artifacts.get(operation.vocabulary) as Vocabulary;
      const ranked = operation.gradient.flatMap((g) => {
        const value = new Map(
          ids.map((id) => [id, draws(["e", id], g.length).reduce((sum, e, k) => sum - e * g[k]!, 0)]),
        );
        return [...ids].sort((a, b) => value.get(b)! - value.get(a)! || a - b).slice(0, operation.topk);
      });
      return { ids: { shape: [operation.gradient.length, operation.topk], data: Int32Array.from(ranked) } };
    }
    default:
      throw new Error(`this executor does no ${operation.kind}`);
  }
}

function logitsOf(row: readonly number[], trigger: readonly number[], classes: number): number[] {
  const parts = [
    draws(["row", ...row], classes),
    ...trigger.map((id) => draws(["token", id, row.length], classes)),
  ];
  return Array.from({ length: classes }, (_, k) => parts.reduce((sum, part) => sum + part[k]!, 0));
}

/** `count` numbers in [−1, 1), fixed by `key`. */
function draws(key: readonly (string | number)[], count: number): number[] {
  const hex = digestOf(key.join());
  return Array.from(
    { length: count },
    (_, k) => Number.parseInt(hex.slice(8 * k, 8 * k + 8), 16) / 2 ** 31 - 1,
  );
}

function matrix(rows: readonly (readonly number[])[]): Tensor {
  return { shape: [rows.length, rows[0]?.length ?? 0], data: Float32Array.from(rows.flat()) };
}
