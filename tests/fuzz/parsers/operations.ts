import fc from "fast-check";
import { canonicalJson } from "../../../proto/canonical-json.ts";
import type { OperationMessage } from "../../../proto/messages.ts";
import {
  fingerprintOf,
  operationFromMessage,
  operationMessageBytes,
  operationToMessage,
} from "../../../proto/operation-codec.ts";
import type { Operation } from "../../../proto/operations.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { messageType } from "../generate/messages.ts";
import { changedWire, wireChanges, wireOf } from "../generate/wire.ts";
import type { Files, Parser } from "../parser.ts";

const d = (digit: string): string => digit.repeat(64);
const rows = [0, 3];
const common = { checkpoint: d("a"), samples: d("b") };

/** One of each kind, and of each form of it. */
export const OPERATIONS: readonly Operation[] = [
  {
    kind: "score",
    ...common,
    sample: 2,
    triggers: [
      [1, 2, 3],
      [4, 5, 6],
    ],
  },
  { kind: "score", ...common, sample: 2, triggers: [[7]], precision: "fp16", form: "fused" },
  { kind: "gradient", ...common, rows, trigger: [1, 2], objective: { kind: "label", label: 1 } },
  {
    kind: "gradient",
    ...{ ...common, rows, trigger: [1, 2], reads: "encoder" },
    objective: { kind: "vectors", slopes: [Float32Array.of(1, 2), Float32Array.of(3, 4)] },
  },
  {
    kind: "rank",
    checkpoint: d("a"),
    vocabulary: d("c"),
    topk: 4,
    gradient: [Float32Array.of(1, 2), Float32Array.of(3, 4)],
  },
  { kind: "encode", ...common, rows },
  { kind: "encode", ...common, rows, weights: d("d"), triggers: [[1], [2]], form: "fused" },
  {
    kind: "score-pairs",
    checkpoint: d("a"),
    codes: d("e"),
    queries: d("f"),
    rows,
    pairs: [
      [0, 1],
      [2, 3],
    ],
  },
  { kind: "predict", ...common, rows, weights: d("d") },
  {
    kind: "train-step",
    ...{ ...common, weights: d("d"), rows, rowWeights: [1, 0.5], dropout: 0.1, dropoutSeed: 7 },
    objective: {
      kind: "logits",
      logits: [
        [0.5, 1],
        [2, 3],
      ],
    },
  },
  {
    kind: "train-run",
    ...common,
    state: { weights: d("d"), moments: { means: d("e"), squares: d("f") }, steps: 3 },
    ...{ optimiser: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 }, maxGradNorm: 1, dropout: 0 },
    steps: [
      {
        ...{ learningRate: 1e-4, kind: "rows" },
        microBatches: [
          { rows, rowWeights: [1, 1], objective: { kind: "labels", labels: [0, 1] }, dropoutSeed: 1 },
        ],
      },
      {
        ...{ learningRate: 1e-4, kind: "vectors" },
        microBatches: [{ rows, places: [0, 1] }],
        loss: {
          kind: "distance",
          targets: [
            [1, 2],
            [3, 4],
          ],
          weights: [1, 1],
        },
      },
    ],
  },
];

const type = messageType("Operation");
const bytesOf = (operation: Operation): Uint8Array =>
  type.encode(type.fromObject(wireNames(operationToMessage(operation)))).finish();
const seeds = OPERATIONS.map((operation) => wireOf(bytesOf(operation), type));

/** What `fromObject` takes: the choice of a `oneof` is the field that is there. */
function wireNames({ kind, ...message }: OperationMessage): Record<string, unknown> {
  return { ...message, kind: undefined, [kind]: (message as Record<string, unknown>)[kind] };
}

/** As grpc-js reads it. */
export function operationOf(bytes: Uint8Array): OperationMessage {
  return type.toObject(type.decode(bytes), {
    longs: Number,
    defaults: true,
    oneofs: true,
  }) as OperationMessage;
}

export const operations: Parser = {
  name: "operations",
  runs: 16_000,
  inputs: fc.record({ seed: fc.nat(seeds.length - 1), changes: wireChanges, bytes: byteChanges }).map(
    ({ seed, changes, bytes }): Files => ({
      operation: changedBytes(changedWire(seeds[seed]!, changes), bytes),
    }),
  ),
  parse(files) {
    const message = decoded(() => operationOf(files.operation!));
    const operation = operationFromMessage(message);
    operationMessageBytes(message);
    fingerprintOf(operation);
    // What is read is what was meant, whatever was in between.
    const again = operationFromMessage(operationToMessage(operation));
    if (canonicalJson(again) !== canonicalJson(operation))
      throw new Error("the operation is another one after a round trip");
  },
  errors: ["MalformedOperationError", "WireError"],
  isHeaderError: ({ name }) => name === "WireError",
};

/** Bytes that are no message: what grpc-js answers by itself, before elibad sees anything. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** What protobufjs makes of the bytes. @throws WireError where it is nothing */
export function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw new WireError(`no message: ${(cause as Error).message}`, { cause });
  }
}
