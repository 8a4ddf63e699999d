import { expect, test } from "vitest";
import {
  decodeResultEnvelope,
  encodeResultEnvelope,
  MalformedEnvelopeError,
  type ResultEnvelope,
} from "../../proto/result-envelope.ts";

const envelope: ResultEnvelope = {
  fingerprint: "ab".repeat(32),
  workerId: "w1",
  deviceClass: { provider: "cpu", runtimeVersion: "1.30.0", hardware: "avx2", programForm: "primitive" },
  programVersion: "v1",
  outcome: {
    kind: "tensors",
    tensors: {
      logits: { shape: [2, 2], data: Float32Array.of(1.5, -2, 3e-30, 0) },
      "w#rows": { shape: [1], data: Int32Array.of(-7) },
      empty: { shape: [0, 4], data: new Float32Array() },
    },
  },
  forwards: 64,
  tokens: 2 ** 40,
  seconds: 0.125,
};

test("an envelope is read as it was written", () => {
  expect(decodeResultEnvelope(encodeResultEnvelope(envelope))).toEqual(envelope);
});

test.each([
  { kind: "artifact", digest: "cd".repeat(32) },
  { kind: "error", retryable: true, message: "out of memory" },
  { kind: "error", retryable: false, message: "" },
] as const)("an outcome of kind $kind is read as it was written", (outcome) => {
  expect(decodeResultEnvelope(encodeResultEnvelope({ ...envelope, outcome })).outcome).toEqual(outcome);
});

test("bytes that are no envelope, or only a part of one, are refused or read as another envelope, never a crash", () => {
  const whole = encodeResultEnvelope(envelope);
  for (let length = 0; length < whole.length; length++) {
    try {
      decodeResultEnvelope(whole.subarray(0, length));
    } catch (error) {
      expect(error).toBeInstanceOf(MalformedEnvelopeError);
    }
  }
  expect(() => decodeResultEnvelope(Buffer.from("garbage"))).toThrow(MalformedEnvelopeError);
  expect(() => decodeResultEnvelope(new Uint8Array())).toThrow("fingerprint ''");
});

test("a tensor whose bytes do not fill its shape is refused by name", () => {
  const tensors = { logits: { shape: [3], data: Float32Array.of(1, 2) } };
  const bytes = encodeResultEnvelope({ ...envelope, outcome: { kind: "tensors", tensors } });
  expect(() => decodeResultEnvelope(bytes)).toThrow("tensor 'logits': 8 bytes do not fill shape [3]");
});

test("artifacts are read by their names, and refused where a name comes twice or a digest is none", () => {
  const artifacts = { weights: "cd".repeat(32), means: "ef".repeat(32) };
  expect(decodeResultEnvelope(encodeResultEnvelope({ ...envelope, artifacts })).artifacts).toEqual(artifacts);
  const odd = encodeResultEnvelope({ ...envelope, artifacts: { weights: "../secret" } });
  expect(() => decodeResultEnvelope(odd)).toThrow("artifact 'weights' is '../secret'");
  const twice = Buffer.concat([1, 2].map(() => encodeResultEnvelope({ ...envelope, artifacts })));
  expect(() => decodeResultEnvelope(twice)).toThrow("artifact 'weights' occurs twice");
});
