import { canonicalJson, digestOf } from "./canonical-json.ts";
import type { OperationMessage } from "./messages.ts";
import type { Digest, Operation, TrainStepOperation } from "./operations.ts";

/**
 * Names an operation by everything that determines its result on one device class: sha256 of its canonical JSON. An
 * option that is left out is the same as one that is undefined.
 */
export function fingerprintOf(operation: Operation): Digest {
  return digestOf(canonicalJson(operation));
}

/** The operation as a message of `elibad.proto`. */
export function operationToMessage(operation: Operation): OperationMessage {
  const { checkpoint } = operation;
  switch (operation.kind) {
    case "score":
      return { checkpoint, kind: "score", score: { ...operation, triggers: operation.triggers.map(toIds) } };
    case "gradient":
      return { checkpoint, kind: "gradient", gradient: operation };
    case "rank":
      return {
        checkpoint,
        kind: "rank",
        rank: {
          vocabulary: operation.vocabulary,
          gradient: concatenated(operation.gradient),
          triggerLen: operation.gradient.length,
          topk: operation.topk,
        },
      };
    case "encode":
      return { checkpoint, kind: "encode", encode: operation };
    case "predict":
      return { checkpoint, kind: "predict", predict: { ...operation, weights: operation.weights ?? "" } };
    case "train-step": {
      const { objective, ...rest } = operation;
      const labels = objective.kind === "labels" ? objective.labels : [];
      const logits = objective.kind === "logits" ? objective.logits.flat() : [];
      return { checkpoint, kind: "trainStep", trainStep: { ...rest, labels, logits } };
    }
  }
}

/**
 * The operation that a message holds. Its fingerprint is that of the operation it was made from.
 * @throws MalformedOperationError where the message holds none, or numbers that cannot belong together.
 */
export function operationFromMessage(message: OperationMessage): Operation {
  const { checkpoint } = message;
  switch (message.kind) {
    case "score": {
      const { samples, sample, triggers } = message.score;
      return { kind: "score", checkpoint, samples, sample, triggers: triggers.map(({ ids }) => ids) };
    }
    case "gradient": {
      const { samples, rows, trigger, target } = message.gradient;
      return { kind: "gradient", checkpoint, samples, rows, trigger, target };
    }
    case "rank": {
      const { vocabulary, topk, triggerLen } = message.rank;
      return {
        kind: "rank",
        checkpoint,
        vocabulary,
        topk,
        gradient: splitRows(message.rank.gradient, triggerLen),
      };
    }
    case "encode":
      return { kind: "encode", checkpoint, samples: message.encode.samples, rows: message.encode.rows };
    case "predict": {
      const { samples, rows, weights } = message.predict;
      return { kind: "predict", checkpoint, samples, rows, ...(weights === "" ? {} : { weights }) };
    }
    case "trainStep": {
      const { weights, samples, rows, rowWeights, dropout, dropoutSeed } = message.trainStep;
      const objective = objectiveOf(message.trainStep);
      return {
        kind: "train-step",
        checkpoint,
        weights,
        samples,
        rows,
        rowWeights,
        objective,
        dropout,
        dropoutSeed,
      };
    }
    default:
      throw new MalformedOperationError("it has no kind that this version knows");
  }
}

/** An upper bound of an operation's size on the wire, in bytes: cheap, never too small. */
export function operationMessageBytes(message: OperationMessage): number {
  // Digests, tags and lengths; a number is a varint of up to 5 bytes or a double.
  const fixed = 512;
  switch (message.kind) {
    case "score":
      return message.score.triggers.reduce((bytes, { ids }) => bytes + 16 + 5 * ids.length, fixed);
    case "gradient":
      return fixed + 5 * (message.gradient.rows.length + message.gradient.trigger.length);
    case "rank":
      return fixed + message.rank.gradient.length;
    case "encode":
      return fixed + 5 * message.encode.rows.length;
    case "predict":
      return fixed + 5 * message.predict.rows.length;
    case "trainStep":
      return fixed + 18 * message.trainStep.rows.length + 8 * message.trainStep.logits.length;
  }
}

/** A message that is not an operation. */
export class MalformedOperationError extends Error {
  override readonly name = "MalformedOperationError";
  constructor(reason: string) {
    super(`malformed operation: ${reason}`);
  }
}

const toIds = (ids: readonly number[]) => ({ ids });

function concatenated(rows: readonly Float32Array[]): Uint8Array {
  const width = rows[0]?.length ?? 0;
  const all = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    if (row.length !== width) {
      throw new RangeError(`rank: gradient row ${i} has ${row.length} elements, row 0 has ${width}`);
    }
    all.set(row, i * width);
  });
  return new Uint8Array(all.buffer);
}

function splitRows(bytes: Uint8Array, count: number): Float32Array[] {
  if (count === 0 ? bytes.length > 0 : bytes.length % (4 * count) !== 0) {
    throw new MalformedOperationError(
      `${bytes.length} bytes of gradient are not ${count} rows of float32 numbers`,
    );
  }
  const all = new Float32Array(Uint8Array.from(bytes).buffer);
  const width = count === 0 ? 0 : all.length / count;
  return Array.from({ length: count }, (_, i) => all.subarray(i * width, (i + 1) * width));
}

function objectiveOf({
  rows,
  labels,
  logits,
}: {
  readonly rows: readonly number[];
  readonly labels: readonly number[];
  readonly logits: readonly number[];
}): TrainStepOperation["objective"] {
  if (logits.length === 0) {
    if (labels.length === rows.length) return { kind: "labels", labels };
    throw new MalformedOperationError(`${labels.length} labels for ${rows.length} rows`);
  }
  const classes = logits.length / rows.length;
  if (labels.length > 0 || !Number.isInteger(classes)) {
    throw new MalformedOperationError(
      `${labels.length} labels and ${logits.length} logits for ${rows.length} rows`,
    );
  }
  return {
    kind: "logits",
    logits: rows.map((_, row) => logits.slice(row * classes, (row + 1) * classes)),
  };
}
