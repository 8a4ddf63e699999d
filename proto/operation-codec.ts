import { canonicalJson, digestOf } from "./canonical-json.ts";
import { MalformedOperationError } from "./malformed-operation.ts";
import type { OperationMessage, TriggersMessage } from "./messages.ts";
import { objectiveFromLists, objectiveToLists } from "./objective-codec.ts";
import type { Digest, Operation } from "./operations.ts";
import { trainRunFromMessage, trainRunMessageBytes, trainRunToMessage } from "./train-run-codec.ts";

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
    case "score": {
      const { samples, sample, triggers, precision, form } = operation;
      const flags = { half: precision === "fp16", fused: form === "fused" };
      return {
        checkpoint,
        kind: "score",
        score: { samples, sample, triggers: toTriggers(triggers), ...flags },
      };
    }
    case "gradient": {
      const { samples, rows, trigger, objective, reads } = operation;
      const gradient = {
        ...{ samples, rows, trigger, encoderOnly: reads === "encoder" },
        ...(objective.kind === "label"
          ? { label: objective.label, slopes: new Uint8Array() }
          : { label: 0, slopes: concatenated(objective.slopes) }),
      };
      return { checkpoint, kind: "gradient", gradient };
    }
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
    case "encode": {
      const { samples, rows, weights = "", triggers, form } = operation;
      const fused = form === "fused";
      return {
        checkpoint,
        kind: "encode",
        encode: { samples, rows, weights, triggers: triggers ? toTriggers(triggers) : null, fused },
      };
    }
    case "score-pairs":
      return { checkpoint, kind: "scorePairs", scorePairs: { ...operation, pairs: operation.pairs.flat() } };
    case "predict":
      return { checkpoint, kind: "predict", predict: { ...operation, weights: operation.weights ?? "" } };
    case "train-step": {
      const { objective, ...rest } = operation;
      return { checkpoint, kind: "trainStep", trainStep: { ...rest, ...objectiveToLists(objective) } };
    }
    case "train-run":
      return { checkpoint, kind: "trainRun", trainRun: trainRunToMessage(operation) };
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
      const { samples, sample, triggers, half, fused } = message.score;
      return {
        kind: "score",
        ...{ checkpoint, samples, sample },
        triggers: fromTriggers(triggers),
        ...(half ? { precision: "fp16" } : {}),
        ...(fused ? { form: "fused" } : {}),
      };
    }
    case "gradient": {
      const { samples, rows, trigger, label, slopes, encoderOnly } = message.gradient;
      return {
        kind: "gradient",
        ...{ checkpoint, samples, rows, trigger },
        objective:
          slopes.length === 0
            ? { kind: "label", label }
            : { kind: "vectors", slopes: splitRows(slopes, rows.length) },
        ...(encoderOnly ? { reads: "encoder" } : {}),
      };
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
    case "encode": {
      const { samples, rows, weights, triggers, fused } = message.encode;
      return {
        kind: "encode",
        ...{ checkpoint, samples, rows },
        ...(weights === "" ? {} : { weights }),
        ...(triggers === null ? {} : { triggers: fromTriggers(triggers) }),
        ...(fused ? { form: "fused" } : {}),
      };
    }
    case "scorePairs": {
      const { codes, queries, rows, pairs } = message.scorePairs;
      return { kind: "score-pairs", checkpoint, codes, queries, rows, pairs: inPairs(pairs) };
    }
    case "predict": {
      const { samples, rows, weights } = message.predict;
      return { kind: "predict", checkpoint, samples, rows, ...(weights === "" ? {} : { weights }) };
    }
    case "trainStep": {
      const { weights, samples, rows, rowWeights, dropout, dropoutSeed } = message.trainStep;
      const objective = objectiveFromLists(rows, message.trainStep);
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
    case "trainRun":
      return trainRunFromMessage(checkpoint, message.trainRun);
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
      return fixed + 5 * (message.score.triggers?.ids.length ?? 0);
    case "gradient": {
      const { rows, trigger, slopes } = message.gradient;
      return fixed + 5 * (rows.length + trigger.length) + slopes.length;
    }
    case "rank":
      return fixed + message.rank.gradient.length;
    case "encode": {
      const { rows, triggers } = message.encode;
      return fixed + 5 * (rows.length + (triggers?.ids.length ?? 0));
    }
    case "scorePairs":
      return fixed + 5 * (message.scorePairs.rows.length + message.scorePairs.pairs.length);
    case "predict":
      return fixed + 5 * message.predict.rows.length;
    case "trainStep": {
      const { rows, logits, slopes } = message.trainStep;
      return fixed + 18 * rows.length + 8 * (logits.length + slopes.length);
    }
    case "trainRun":
      return fixed + trainRunMessageBytes(message.trainRun);
  }
}

function toTriggers(triggers: readonly (readonly number[])[]): TriggersMessage {
  const length = triggers[0]?.length ?? 0;
  const odd = triggers.find((trigger) => trigger.length !== length);
  if (odd) throw new RangeError(`triggers of ${length} and of ${odd.length} tokens in one operation`);
  const ids: number[] = []; // `flat` takes ten times as long
  for (const trigger of triggers) ids.push(...trigger);
  return { count: triggers.length, ids };
}

/** Parts that may have no numbers of their own, so that a message's size says nothing of how many there are. */
const MAX_EMPTY_PARTS = 65_536;

function fromTriggers(message: TriggersMessage | null): (readonly number[])[] {
  const { count, ids } = message ?? { count: 0, ids: [] };
  const fits = count === 0 ? ids.length === 0 : ids.length % count === 0;
  if (!fits || (ids.length === 0 && count > MAX_EMPTY_PARTS)) {
    throw new MalformedOperationError(`${ids.length} ids are not ${count} triggers of one length`);
  }
  const length = ids.length / count;
  return Array.from({ length: count }, (_, k) => ids.slice(k * length, (k + 1) * length));
}

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
  const fits = count === 0 ? bytes.length === 0 : bytes.length % (4 * count) === 0;
  if (!fits || (bytes.length === 0 && count > MAX_EMPTY_PARTS)) {
    throw new MalformedOperationError(
      `${bytes.length} bytes of gradient are not ${count} rows of float32 numbers`,
    );
  }
  const all = new Float32Array(Uint8Array.from(bytes).buffer);
  const width = count === 0 ? 0 : all.length / count;
  return Array.from({ length: count }, (_, i) => all.subarray(i * width, (i + 1) * width));
}

function inPairs(flat: readonly number[]): [number, number][] {
  if (flat.length % 2 !== 0) throw new MalformedOperationError(`${flat.length} numbers are not pairs`);
  return Array.from({ length: flat.length / 2 }, (_, pair) => [flat[2 * pair]!, flat[2 * pair + 1]!]);
}
