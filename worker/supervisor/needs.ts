import type { Operation } from "../../proto/operations.ts";
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
      const moments = state.moments ? [state.moments.means, state.moments.squares] : [];
      return { checkpoint, others: [samples, state.weights, ...moments] };
    }
    case "train-step":
      return { checkpoint, others: [operation.samples, operation.weights] };
  }
}
