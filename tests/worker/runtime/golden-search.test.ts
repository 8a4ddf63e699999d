import { describe, expect, test } from "vitest";
import type { Digest, EncodeOperation, Tensor } from "../../../proto/operations.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import { loadArrays, loadWeights, relativeDifference } from "../../support/golden.ts";
import { inEachForm, putJson, rowsOf } from "../../support/golden-cell.ts";
import { denseGradient, trains } from "../../support/gradients.ts";
import { type OpenSearchCell, openSearchCell, searchCells } from "../../support/search-cell.ts";
import { hasShared } from "../../support/shared.ts";

const TOLERANCE = 2e-5;
const N = 6;
const all = Array.from({ length: N }, (_, row) => row);

type Rows = readonly (readonly number[])[];

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, at) => sum + x * b[at]!, 0);
const transposed = (rows: Rows) => rows[0]!.map((_, column) => rows.map((row) => row[column]!));
/** Rows of slopes times vectors: [n, m] · [m, hidden]. */
const weighted = (slopes: Rows, vectors: Rows) =>
  slopes.map((row) => vectors[0]!.map((_, at) => row.reduce((sum, s, k) => sum + s * vectors[k]![at]!, 0)));

type Form = Pick<EncodeOperation, "form">;

/** Vectors of every row with one trigger. */
async function encoded(
  { executor, checkpoint }: OpenSearchCell,
  samples: Digest,
  trigger: readonly number[],
  form: Form = {},
) {
  const [result] = await executor.execute([
    { kind: "encode", checkpoint, samples, rows: all, triggers: [trigger], ...form },
  ]);
  return rowsOf(result!.tensors.features!);
}

/** Artifact of vectors [triggers, n, hidden] from an encoding of rows × triggers. */
async function putVectors(
  { executor, checkpoint }: OpenSearchCell,
  samples: Digest,
  triggers: Rows,
  form: Form,
) {
  const [result] = await executor.execute([
    { kind: "encode", checkpoint, samples, rows: all, triggers, ...form },
  ]);
  const { shape, data } = result!.tensors.features!;
  const hidden = shape[1]!;
  const vectors = new Float32Array(data.length);
  for (const row of all) {
    for (const trigger of triggers.keys()) {
      const from = (row * triggers.length + trigger) * hidden;
      vectors.set(data.subarray(from, from + hidden), (trigger * N + row) * hidden);
    }
  }
  return executor.putArtifact(
    encodeTensors({ vectors: { shape: [triggers.length, N, hidden], data: vectors } }),
  );
}

/** Mean of (score − 1)² for each pair of a trigger and a target. */
async function pairLosses(
  cell: OpenSearchCell,
  triggers: Rows,
  targets: Rows,
  form: Form,
): Promise<number[]> {
  const codes = await putVectors(cell, cell.codes, triggers, form);
  const queries = await putVectors(cell, cell.queries, targets, form);
  const pairs = triggers.flatMap((_, t) => targets.map((_, u): [number, number] => [t, u]));
  const [result] = await cell.executor.execute([
    { kind: "score-pairs", checkpoint: cell.checkpoint, codes, queries, rows: all, pairs },
  ]);
  return Array.from(result!.tensors.sums!.data, (sum) => sum / N ** 2);
}

describe.skipIf(!hasShared).each(inEachForm(searchCells))("%s in the %s form", (name, _, form) => {
  test("vectors of codes and queries, and the loss of their scores, are PyTorch's, clean and stamped", async () => {
    const cell = await openSearchCell(name);
    const { golden } = cell;
    for (const [forward, trigger, target] of [
      [golden.forward, [], []],
      [golden.trigger.forward, golden.trigger.ids, golden.trigger.target_ids],
    ] as const) {
      const codes = await encoded(cell, cell.codes, trigger, form);
      const queries = await encoded(cell, cell.queries, target, form);
      const [loss] = await pairLosses(cell, [trigger], [target], form);

      expect(relativeDifference(codes.flat(), forward.code_vec.flat())).toBeLessThan(TOLERANCE);
      expect(relativeDifference(queries.flat(), forward.nl_vec.flat())).toBeLessThan(TOLERANCE);
      expect(Math.abs(loss! / forward.loss - 1)).toBeLessThan(TOLERANCE);
    }
    await cell.executor.close();
  });

  test("gradients of trigger and target along the loss's slopes, and their best ids, are PyTorch's", async () => {
    const cell = await openSearchCell(name);
    const { golden, executor, checkpoint } = cell;
    const { ids, target_ids } = golden.trigger;
    const codes = await encoded(cell, cell.codes, ids, form);
    const queries = await encoded(cell, cell.queries, target_ids, form);
    // ∂/∂score of the mean of (score − 1)².
    const slopes = queries.map((query) => codes.map((code) => (2 * (dot(query, code) - 1)) / N ** 2));
    for (const { side, samples, trigger, along, own } of [
      {
        side: golden.gradient.trigger,
        samples: cell.codes,
        trigger: ids,
        along: weighted(transposed(slopes), queries),
        own: codes,
      },
      {
        side: golden.gradient.target,
        samples: cell.queries,
        trigger: target_ids,
        along: weighted(slopes, codes),
        own: queries,
      },
    ]) {
      const objective = { kind: "vectors", slopes: along.map((row) => Float32Array.from(row)) } as const;
      const [result] = await executor.execute([
        { kind: "gradient", checkpoint, samples, rows: all, trigger, objective },
      ]);
      const summed = sumOverRows(result!.tensors.gradient!);
      const vocabulary = await putJson(executor, { ids: golden.gradient.vocab });
      const [ranked] = await executor.execute([
        { kind: "rank", checkpoint, vocabulary, gradient: summed, topk: 8 },
      ]);

      expect(
        relativeDifference(
          summed.flatMap((row) => [...row]),
          side.embedding.flat(),
        ),
      ).toBeLessThan(TOLERANCE);
      expect([...ranked!.tensors.ids!.data]).toEqual(side.topk_ids.flat());
      expect(relativeDifference(result!.tensors.features!.data, own.flat())).toBeLessThan(TOLERANCE);
    }
    await executor.close();
  });

  test("losses of all pairs of candidates are PyTorch's, with the same winner in every recorded step", async () => {
    const cell = await openSearchCell(name);
    const { candidates, steps } = cell.golden;

    const losses = await pairLosses(cell, candidates.triggers, candidates.targets, form);
    expect(relativeDifference(losses, candidates.loss.flat())).toBeLessThan(TOLERANCE);
    for (const step of steps) {
      const own = await pairLosses(cell, step.candidates, step.target_candidates, form);
      expect(relativeDifference(own, step.loss_mean.flat())).toBeLessThan(TOLERANCE);
      const winner = own.indexOf(Math.min(...own));
      const targets = step.target_candidates.length;
      expect([Math.floor(winner / targets), winner % targets]).toEqual([...step.winner]);
    }
    await cell.executor.close();
  });
});

describe.skipIf(!hasShared).each(searchCells)("%s", (name) => {
  test("the first training step's gradients along both sides' slopes are PyTorch's", async () => {
    const cell = await openSearchCell(name);
    const { golden, executor, checkpoint, folder } = cell;
    const step = golden.training.steps[0]!;
    const rows = step.samples;
    const weights = Object.fromEntries([...(await loadWeights(folder))].filter(([each]) => trains(each)));
    const artifact = await executor.putArtifact(encodeTensors(weights));
    const vectorsOf = async (samples: Digest) => {
      const [result] = await executor.execute([
        { kind: "encode", checkpoint, weights: artifact, samples, rows },
      ]);
      return rowsOf(result!.tensors.features!);
    };
    const [codes, queries] = [await vectorsOf(cell.codes), await vectorsOf(cell.queries)];
    const { loss, slopes } = batchLoss(codes, queries);
    expect(Math.abs(loss / step.loss - 1)).toBeLessThan(2e-4);

    const results = await executor.execute(
      [
        { samples: cell.codes, along: weighted(transposed(slopes), queries) },
        { samples: cell.queries, along: weighted(slopes, codes) },
      ].map(({ samples, along }) => ({
        kind: "train-step" as const,
        ...{ checkpoint, weights: artifact, samples, rows },
        rowWeights: rows.map(() => 1),
        objective: { kind: "vectors" as const, slopes: along },
        dropout: 0,
        dropoutSeed: 0,
      })),
    );

    const summed = (weight: string) => {
      const [code, query] = results.map(({ tensors }) =>
        denseGradient(tensors, weight, weights[weight]!.shape),
      );
      return code!.map((value, at) => value + query![at]!);
    };
    const arrays = await loadArrays("golden", "tiny", name, "arrays.safetensors");
    for (const [weight, { $array }] of Object.entries(golden.training.first_gradients)) {
      expect(relativeDifference(summed(weight), arrays.get($array)!.data), weight).toBeLessThan(5e-5);
    }
    const squares = Object.keys(weights).map((weight) =>
      summed(weight).reduce((sum, value) => sum + value ** 2, 0),
    );
    const norm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
    expect(Math.abs(norm / step.grad_norm - 1)).toBeLessThan(2e-4);
    expect(relativeDifference(results[0]!.tensors.features!.data, codes.flat())).toBeLessThan(TOLERANCE);
    await executor.close();
  });
});

/** [rows, positions, hidden] → the sum over rows, in float64 and rounded once. */
function sumOverRows({ shape, data }: Tensor): Float32Array[] {
  const [rows, positions, hidden] = shape as [number, number, number];
  return Array.from({ length: positions }, (_, position) =>
    Float32Array.from({ length: hidden }, (_, at) => {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += data[(row * positions + position) * hidden + at]!;
      return sum;
    }),
  );
}

/** Training's loss: cross-entropy of 20 × scores, each query against its own code, mean over the batch; and ∂loss/∂score. */
function batchLoss(codes: Rows, queries: Rows): { loss: number; slopes: number[][] } {
  const n = codes.length;
  let loss = 0;
  const slopes = queries.map((query, i) => {
    const scaled = codes.map((code) => 20 * dot(query, code));
    const powers = scaled.map((score) => Math.exp(score - Math.max(...scaled)));
    const sum = powers.reduce((total, power) => total + power, 0);
    const shares = powers.map((power) => power / sum);
    loss -= Math.log(shares[i]!) / n;
    return shares.map((share, j) => (20 * (share - (i === j ? 1 : 0))) / n);
  });
  return { loss, slopes };
}
