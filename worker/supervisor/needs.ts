import type { Digest, Operation, TrainingState } from "../../proto/operations.ts";
import type { Needs } from "../cache/artifact-cache.ts";

/** The artifacts that an operation reads. */
export function needsOf(operation: Operation): Needs {
  const { checkpoint } = operation;
  switch (operation.kind) {
    case "score":
    case "gradient":
      return { checkpoint, others: [operation.samples] };
    case "rank":
      return { checkpoint, others: [operation.vocabulary] };
    case "score-pairs":
      return { checkpoint, others: [operation.codes, operation.queries] };
    case "encode":
    case "predict": {
      const { samples, weights } = operation;
      return { checkpoint, others: weights === undefined ? [samples] : [samples, weights] };
    }
    case "train-run": {
      const { samples, state } = operation;
      return { checkpoint, others: [samples, ...partsOf(state)] };
    }
    case "train-step":
      return { checkpoint, others: [operation.samples, operation.weights] };
  }
}

const partsOf = ({ weights, moments }: TrainingState): Digest[] =>
  moments ? [weights, moments.means, moments.squares] : [weights];

/**
 * Artifacts that an operation read and its result takes the place of: a state, as far as it is not the same afterwards. First weights are none:
 * several trainings may begin with the same.
 */
export function replacedBy(operation: Operation, files: readonly { readonly digest: Digest }[]): Digest[] {
  if (operation.kind !== "train-run" || !operation.state.moments || files.length === 0) return [];
  const given = new Set(files.map(({ digest }) => digest));
  return partsOf(operation.state).filter((digest) => !given.has(digest));
}
