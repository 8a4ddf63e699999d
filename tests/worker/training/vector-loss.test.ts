import { describe, expect, test } from "vitest";
import { createRng, seedRng } from "../../../coordinator/search/rng.ts";
import { normalDraws } from "../../../coordinator/training/initial.ts";
import type { VectorLoss } from "../../../proto/operations.ts";
import { contrastiveLoss, distanceLoss, lossOfVectors } from "../../../worker/training/vector-loss.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

const normal = normalDraws(createRng(seedRng(5)));
const draw = (rows: number, size: number) =>
  Array.from({ length: rows }, () => Float64Array.from({ length: size }, normal));

test.each<{ name: string; loss: VectorLoss }>([
  { name: "contrastive", loss: contrastiveLoss },
  {
    name: "distance",
    loss: distanceLoss(
      draw(6, 4).map((target) => [...target]),
      [1, 0.5, 2, 0, 1, 0.25],
    ),
  },
])("the slopes of the $name loss are its central differences", ({ loss }) => {
  const lossOf = (vectors: readonly Float64Array[]) => lossOfVectors(loss, vectors);
  const vectors = draw(6, 4).map((vector) => vector.map((value) => 0.1 * value));
  const { slopes } = lossOf(vectors);
  const at = (row: number, i: number, step: number): number =>
    lossOf(vectors.map((vector, k) => (k === row ? vector.map((v, j) => (j === i ? v + step : v)) : vector)))
      .loss;
  for (const [row, slope] of slopes.entries()) {
    for (const [i, value] of slope.entries()) {
      expect((at(row, i, 1e-5) - at(row, i, -1e-5)) / 2e-5).toBeCloseTo(value, 6);
    }
  }
});

interface Case {
  readonly forward: { readonly code_vec: number[][]; readonly nl_vec: number[][] };
  readonly training: { readonly steps: readonly { samples: number[]; loss: number }[] };
}

describe.skipIf(!hasShared)("the published loss of code search", () => {
  test.each(["codebert", "unixcoder", "codet5"])(
    "of %s's recorded vectors is the recorded loss of the first batch",
    (arch) => {
      const { forward, training } = readSharedJson<Case>(
        "golden",
        "tiny",
        `code_search-${arch}`,
        "case.json",
      );
      const { samples, loss } = training.steps[0]!;
      const vectors = [
        ...samples.map((row) => forward.code_vec[row]!),
        ...samples.map((row) => forward.nl_vec[row]!),
      ];
      expect(Math.abs(lossOfVectors(contrastiveLoss, vectors).loss / loss - 1)).toBeLessThan(2e-5);
    },
  );
});
