import fc from "fast-check";
import { deviceClassName } from "../../../coordinator/dispatch/hello.ts";
import { findFault } from "../../../coordinator/gather/validate.ts";
import { findArtifactFault } from "../../../coordinator/gather/validate-artifacts.ts";
import type { TensorMap } from "../../../proto/operations.ts";
import {
  decodeResultEnvelope,
  encodeResultEnvelope,
  type ResultEnvelope,
} from "../../../proto/result-envelope.ts";
import { decodeTensors, encodeTensors } from "../../../proto/tensors.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { messageType } from "../generate/messages.ts";
import { changedWire, emptyFields, wireBytes, wireChanges, wireOf } from "../generate/wire.ts";
import type { Files, Parser } from "../parser.ts";
import { OPERATIONS } from "./operations.ts";

const tensors: readonly TensorMap[] = [
  { logits: { shape: [2, 1], data: Float32Array.of(0.5, -1) } },
  {
    ids: { shape: [2, 2], data: Int32Array.of(1, 2, 3, 4) },
    values: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
  },
  { sums: { shape: [2], data: Float64Array.of(1, 2) }, empty: { shape: [0, 7], data: new Float32Array() } },
  {
    logits: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    "w#rows": { shape: [1], data: Int32Array.of(0) },
    w: { shape: [1, 2], data: Float32Array.of(1, 2) },
  },
];
const envelope = {
  fingerprint: "ab".repeat(32),
  workerId: "worker-1",
  deviceClass: { provider: "cpu", runtimeVersion: "1.30.0", hardware: "avx2", programForm: "primitive" },
  programVersion: "cd".repeat(32),
  ...{ forwards: 2, tokens: 800, seconds: 0.25 },
};
const envelopes: readonly ResultEnvelope[] = [
  ...tensors.map((some): ResultEnvelope => ({ ...envelope, outcome: { kind: "tensors", tensors: some } })),
  { ...envelope, outcome: { kind: "artifact", digest: "ef".repeat(32) } },
  { ...envelope, outcome: { kind: "error", retryable: true, message: "out of memory" } },
  {
    ...envelope,
    outcome: { kind: "tensors", tensors: { losses: { shape: [1], data: Float64Array.of(1) } } },
    artifacts: { weights: "01".repeat(32), means: "23".repeat(32), squares: "45".repeat(32) },
  },
];

const seeds = envelopes.map((each) => wireOf(encodeResultEnvelope(each), messageType("ResultEnvelope")));

/** What a coordinator asks of a result, whichever operation it is of. */
function validate(map: TensorMap, artifacts?: Readonly<Record<string, string>>): void {
  for (const operation of OPERATIONS) {
    findFault(operation, map);
    findArtifactFault(operation, artifacts);
  }
}

export const results: Parser = {
  name: "results",
  runs: 15_000,
  inputs: fc.record({ seed: fc.nat(seeds.length - 1), changes: wireChanges, bytes: byteChanges }).map(
    ({ seed, changes, bytes }): Files => ({
      envelope: changedBytes(changedWire(seeds[seed]!, changes), bytes),
    }),
  ),
  extremes: () => ({
    "two million tensors of no name": {
      envelope: wireBytes([{ number: 4, wire: 2, value: emptyFields(1, 2_000_000) }]),
    },
    "half a million tensors of no name": {
      envelope: wireBytes([{ number: 4, wire: 2, value: emptyFields(1, 500_000) }]),
    },
    "two million artifacts of no name": { envelope: emptyFields(11, 2_000_000) },
    "a shape of four million": {
      envelope: wireBytes([
        {
          number: 4,
          wire: 2,
          value: [{ number: 1, wire: 2, value: [{ number: 3, wire: 2, value: Buffer.alloc(4_000_000, 1) }] }],
        },
      ]),
    },
  }),
  parse(files) {
    const { outcome, artifacts, deviceClass, programVersion } = decodeResultEnvelope(files.envelope!);
    deviceClassName(deviceClass, programVersion);
    if (outcome.kind === "tensors") validate(outcome.tensors, artifacts);
  },
  errors: ["MalformedEnvelopeError"],
  isHeaderError: ({ cause }) => cause !== undefined && !/^tensor /.test((cause as Error).message),
};

const tensorSeeds = tensors.map((map) => wireOf(encodeTensors(map), messageType("Tensors")));

/** Results and weights that travel as files. */
export const tensorFiles: Parser = {
  name: "tensors",
  runs: 10_000,
  inputs: fc.record({ seed: fc.nat(tensorSeeds.length - 1), changes: wireChanges, bytes: byteChanges }).map(
    ({ seed, changes, bytes }): Files => ({
      tensors: changedBytes(changedWire(tensorSeeds[seed]!, changes), bytes),
    }),
  ),
  extremes: () => ({
    "eight million tensors of no name": { tensors: emptyFields(1, 8_000_000) },
    "a shape of sixteen million": {
      tensors: wireBytes([
        { number: 1, wire: 2, value: [{ number: 3, wire: 2, value: Buffer.alloc(16_000_000, 1) }] },
      ]),
    },
  }),
  parse: (files) => validate(decodeTensors(files.tensors!)),
  errors: ["MalformedTensorsError"],
  isHeaderError: ({ message }) => !/^(tensor '|a tensor of more than|more than)/.test(message),
};
