import { MalformedOperationError } from "./malformed-operation.ts";
import type {
  MicroBatchMessage,
  SegmentStepMessage,
  TrainRunMessage,
  VectorLossMessage,
} from "./messages.ts";
import { inRows, objectiveFromLists, objectiveToLists } from "./objective-codec.ts";
import type { MicroBatch, SegmentStep, TrainingState, TrainRunOperation, VectorLoss } from "./operations.ts";

/** `VectorLoss.Kind` of `elibad.proto`, by number. */
const LOSS_KINDS = ["contrastive", "distance"] as const;

export function trainRunToMessage(operation: TrainRunOperation): TrainRunMessage {
  const { samples, optimiser, maxGradNorm, dropout, steps } = operation;
  const { weights, moments, steps: done } = operation.state;
  return {
    ...{ samples, optimiser, maxGradNorm, dropout },
    state: { weights, means: moments?.means ?? "", squares: moments?.squares ?? "", steps: done },
    steps: steps.map(stepToMessage),
  };
}

/** @throws MalformedOperationError where a part is missing, or numbers cannot belong together. */
export function trainRunFromMessage(checkpoint: string, message: TrainRunMessage): TrainRunOperation {
  const { samples, state, optimiser, maxGradNorm, dropout, steps } = message;
  if (!state || !optimiser) throw new MalformedOperationError("a train-run without state or optimiser");
  return {
    kind: "train-run",
    ...{ checkpoint, samples, optimiser, maxGradNorm, dropout },
    state: stateFromMessage(state),
    steps: steps.map(stepFromMessage),
  };
}

/** An upper bound of its size on the wire, in bytes. */
export function trainRunMessageBytes({ steps }: TrainRunMessage): number {
  let bytes = 256;
  for (const step of steps) bytes += segmentStepBytes(step);
  return bytes;
}

function segmentStepBytes({ microBatches, vectors }: SegmentStepMessage): number {
  let bytes = 64 + 8 * ((vectors?.targets.length ?? 0) + (vectors?.weights.length ?? 0));
  for (const { rows, logits } of microBatches) bytes += 64 + 23 * rows.length + 8 * logits.length;
  return bytes;
}

/** The same of one step of an operation. */
export const stepMessageBytes = (step: SegmentStep): number => segmentStepBytes(stepToMessage(step));

function stateFromMessage(state: NonNullable<TrainRunMessage["state"]>): TrainingState {
  const { weights, means, squares, steps } = state;
  if ((means === "") !== (squares === "")) {
    throw new MalformedOperationError("a training state with one of two moments");
  }
  return { weights, ...(means === "" ? {} : { moments: { means, squares } }), steps };
}

function stepToMessage(step: SegmentStep): SegmentStepMessage {
  const { learningRate } = step;
  if (step.kind === "rows") {
    return { learningRate, microBatches: step.microBatches.map(microBatchToMessage), vectors: null };
  }
  const microBatches = step.microBatches.map(({ rows, places }) => ({ ...NO_OBJECTIVES, rows, places }));
  return { learningRate, microBatches, vectors: lossToMessage(step.loss) };
}

const NO_OBJECTIVES: MicroBatchMessage = {
  rows: [],
  rowWeights: [],
  labels: [],
  logits: [],
  dropoutSeed: 0,
  places: [],
};

function microBatchToMessage({ rows, rowWeights, objective, dropoutSeed }: MicroBatch): MicroBatchMessage {
  const { labels, logits, slopes } = objectiveToLists(objective);
  if (slopes.length > 0) throw new RangeError("train-run: slopes follow from the loss of a step");
  return { rows, rowWeights, labels, logits, dropoutSeed, places: [] };
}

function stepFromMessage({ learningRate, microBatches, vectors }: SegmentStepMessage): SegmentStep {
  if (vectors === null) {
    return { learningRate, kind: "rows", microBatches: microBatches.map(microBatchFromMessage) };
  }
  const size = microBatches.reduce((sum, { rows }) => sum + rows.length, 0);
  return {
    learningRate,
    kind: "vectors",
    microBatches: microBatches.map(({ rows, places }) => ({ rows, places })),
    loss: lossFromMessage(vectors, size),
  };
}

function microBatchFromMessage(message: MicroBatchMessage): MicroBatch {
  const { rows, rowWeights, labels, logits, dropoutSeed } = message;
  const objective = objectiveFromLists(rows, { labels, logits, slopes: [] });
  return { rows, rowWeights, objective, dropoutSeed };
}

function lossToMessage(loss: VectorLoss): VectorLossMessage {
  const kind = LOSS_KINDS.indexOf(loss.kind);
  if (loss.kind === "contrastive") return { kind, targets: [], weights: [] };
  return { kind, targets: loss.targets.flat(), weights: loss.weights };
}

function lossFromMessage({ kind, targets, weights }: VectorLossMessage, rows: number): VectorLoss {
  switch (LOSS_KINDS[kind]) {
    case "contrastive":
      return { kind: "contrastive" };
    case "distance":
      return { kind: "distance", targets: inRows(targets, rows), weights };
    default:
      throw new MalformedOperationError(`unknown loss ${kind}`);
  }
}
