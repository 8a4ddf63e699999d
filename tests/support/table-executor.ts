import { scoreOf } from "../../coordinator/search/match-loss.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type {
  Operation,
  OperationResult,
  SampleSet,
  Tensor,
  TensorMap,
  Vocabulary,
} from "../../proto/operations.ts";
import { decodeTensors } from "../../proto/tensors.ts";

/**
 * Stands for a model where only the search's decisions are tested: every logit, gradient and embedding is a fixed function of
 * its inputs, drawn from their digest. Sums over trigger tokens make good tokens good in any company, as models do.
 */
export function createTableExecutor({ hidden = 4, classes = 1 } = {}) {
  const artifacts = new Map<string, unknown>();
  const executed: Operation[] = [];
  const released: string[] = [];
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
      artifacts.set(
        digest,
        bytes[0] === "{".charCodeAt(0) ? JSON.parse(Buffer.from(bytes).toString()) : decodeTensors(bytes),
      );
      return digest;
    },
    /** What an artifact holds. */
    artifact: (digest: string): unknown => artifacts.get(digest),
    /** Artifacts that were let go of, in order. */
    released,
    async releaseArtifact(digest: string): Promise<void> {
      released.push(digest);
      artifacts.delete(digest);
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
      const { rows, secondRows } = artifacts.get(operation.samples) as SampleSet;
      const whole = (row: number) => [
        ...rows[row]!,
        ...(secondRows === undefined ? [] : [-1, ...secondRows[row]!]),
      ];
      return { logits: matrix(operation.rows.map((row) => logitsOf(whole(row), [], classes))) };
    }
    case "encode": {
      const { rows, insertIndexes } = artifacts.get(operation.samples) as SampleSet;
      const vectors = operation.rows.flatMap((row) =>
        (operation.triggers ?? [[]]).map((trigger) =>
          vectorOf([...rows[row]!, insertIndexes?.[row] ?? 0], trigger, hidden),
        ),
      );
      return { features: matrix(vectors) };
    }
    case "score-pairs": {
      const codes = vectorsOf(artifacts.get(operation.codes) as TensorMap);
      const queries = vectorsOf(artifacts.get(operation.queries) as TensorMap);
      const sums = operation.pairs.map(([trigger, target]) => {
        let sum = 0;
        for (const row of operation.rows)
          for (const code of codes[trigger]!) sum += (scoreOf(queries[target]![row]!, code) - 1) ** 2;
        return sum;
      });
      return { sums: { shape: [sums.length], data: Float64Array.from(sums) } };
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
        ...(operation.objective.kind === "vectors"
          ? {}
          : {
              logits: matrix(
                operation.rows.map((row) =>
                  logitsOf([...rows[row]!, insertIndexes![row]!], trigger, classes),
                ),
              ),
            }),
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

/** [candidates][rows] of an artifact of encodings. */
function vectorsOf({ vectors }: TensorMap): Float32Array[][] {
  const [candidates, rows, size] = vectors!.shape as [number, number, number];
  const at = (index: number): Float32Array =>
    Float32Array.from(vectors!.data.subarray(index * size, (index + 1) * size));
  return Array.from({ length: candidates }, (_, candidate) =>
    Array.from({ length: rows }, (__, row) => at(candidate * rows + row)),
  );
}

/** A vector of length 1: the row's own direction, pulled by the trigger's tokens. */
function vectorOf(row: readonly number[], trigger: readonly number[], size: number): number[] {
  const sum = logitsOf(row, trigger, size);
  const length = Math.hypot(...sum);
  return sum.map((value) => value / length);
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
