import fc from "fast-check";
import { expect, test } from "vitest";
import { coordinatorService } from "../../proto/definition.ts";
import type { CoordinatorMessage } from "../../proto/messages.ts";
import {
  fingerprintOf,
  operationFromMessage,
  operationMessageBytes,
  operationToMessage,
} from "../../proto/operation-codec.ts";
import type { Operation } from "../../proto/operations.ts";

const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("hex"));
const id = fc.nat({ max: 2 ** 32 - 1 });
const ids = fc.array(id, { maxLength: 8 });
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const matrix = <T>(element: fc.Arbitrary<T>, rows: number, minWidth: number) =>
  fc.integer({ min: minWidth, max: 5 }).chain((width) =>
    fc.array(fc.array(element, { minLength: width, maxLength: width }), {
      minLength: rows,
      maxLength: rows,
    }),
  );

const triggersFrom = (fewest: number) =>
  fc.integer({ min: fewest, max: 6 }).chain((count) => matrix(id, count, 0));

const trainStep = fc.integer({ min: 1, max: 4 }).chain((rows) =>
  fc.record({
    kind: fc.constant("train-step" as const),
    checkpoint: digest,
    weights: digest,
    samples: digest,
    rows: fc.array(id, { minLength: rows, maxLength: rows }),
    rowWeights: fc.array(finite, { minLength: rows, maxLength: rows }),
    objective: fc.oneof(
      fc.record({
        kind: fc.constant("labels" as const),
        labels: fc.array(id, { minLength: rows, maxLength: rows }),
      }),
      fc.record({ kind: fc.constant("logits" as const), logits: matrix(finite, rows, 1) }),
      fc.record({ kind: fc.constant("vectors" as const), slopes: matrix(finite, rows, 1) }),
    ),
    dropout: fc.double({ min: 0, max: 0.5, noNaN: true }),
    dropoutSeed: id,
  }),
);

/** Rows of a batch in micro-batches of any sizes. */
const chunks = fc.array(fc.array(id, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 });

const rowsStep = chunks.chain((batches) =>
  fc.record({
    kind: fc.constant("rows" as const),
    learningRate: finite,
    microBatches: fc.tuple(
      ...batches.map((rows) =>
        fc.record({
          rows: fc.constant(rows),
          rowWeights: fc.array(finite, { minLength: rows.length, maxLength: rows.length }),
          objective: fc.oneof(
            fc.record({
              kind: fc.constant("labels" as const),
              labels: fc.array(id, { minLength: rows.length, maxLength: rows.length }),
            }),
            fc.record({ kind: fc.constant("logits" as const), logits: matrix(finite, rows.length, 1) }),
          ),
          dropoutSeed: id,
        }),
      ),
    ),
  }),
);

const vectorsStep = chunks.chain((batches) => {
  const count = batches.flat().length;
  return fc.record({
    kind: fc.constant("vectors" as const),
    learningRate: finite,
    microBatches: fc.constant(batches.map((rows) => ({ rows, places: rows.map((_, place) => place) }))),
    loss: fc.oneof(
      fc.constant({ kind: "contrastive" as const }),
      fc.record({
        kind: fc.constant("distance" as const),
        targets: matrix(finite, count, 1),
        weights: fc.array(finite, { minLength: count, maxLength: count }),
      }),
    ),
  });
});

const trainRun = fc.record({
  kind: fc.constant("train-run" as const),
  ...{ checkpoint: digest, samples: digest, maxGradNorm: finite },
  state: fc.record(
    { weights: digest, moments: fc.record({ means: digest, squares: digest }), steps: id },
    { requiredKeys: ["weights", "steps"] },
  ),
  optimiser: fc.record({ beta1: finite, beta2: finite, eps: finite, weightDecay: finite }),
  dropout: fc.double({ min: 0, max: 0.5, noNaN: true }),
  steps: fc.array(fc.oneof(rowsStep, vectorsStep), { minLength: 1, maxLength: 3 }),
});

const vectorGradient = fc.integer({ min: 1, max: 4 }).chain((rows) =>
  fc.record(
    {
      kind: fc.constant("gradient" as const),
      ...{ checkpoint: digest, samples: digest, trigger: ids },
      rows: fc.array(id, { minLength: rows, maxLength: rows }),
      objective: fc.record({
        kind: fc.constant("vectors" as const),
        slopes: matrix(fc.float({ noNaN: true }), rows, 1).map((all) =>
          all.map((row) => Float32Array.from(row)),
        ),
      }),
      reads: fc.constant("encoder" as const),
    },
    { requiredKeys: ["kind", "checkpoint", "samples", "trigger", "rows", "objective"] },
  ),
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record(
    {
      kind: fc.constant("score" as const),
      ...{ checkpoint: digest, samples: digest, sample: id },
      triggers: triggersFrom(0),
      precision: fc.constant("fp16" as const),
      form: fc.constant("fused" as const),
    },
    { requiredKeys: ["kind", "checkpoint", "samples", "sample", "triggers"] },
  ),
  fc.record({
    kind: fc.constant("gradient" as const),
    checkpoint: digest,
    samples: digest,
    rows: ids,
    trigger: ids,
    objective: fc.record({ kind: fc.constant("label" as const), label: id }),
  }),
  vectorGradient,
  fc.record(
    {
      kind: fc.constant("encode" as const),
      ...{ checkpoint: digest, samples: digest, weights: digest, rows: ids },
      triggers: triggersFrom(1),
      form: fc.constant("fused" as const),
    },
    { requiredKeys: ["kind", "checkpoint", "samples", "rows"] },
  ),
  fc.record({
    kind: fc.constant("score-pairs" as const),
    ...{ checkpoint: digest, codes: digest, queries: digest, rows: ids },
    pairs: fc.array(fc.tuple(id, id), { maxLength: 6 }),
  }),
  fc.record({
    kind: fc.constant("rank" as const),
    checkpoint: digest,
    vocabulary: digest,
    topk: id,
    gradient: matrix(fc.float({ noNaN: true, noDefaultInfinity: true }), 3, 1).map((rows) =>
      rows.map((row) => Float32Array.from(row)),
    ),
  }),
  fc.record({ kind: fc.constant("encode" as const), checkpoint: digest, samples: digest, rows: ids }),
  fc.record(
    {
      kind: fc.constant("predict" as const),
      checkpoint: digest,
      samples: digest,
      rows: ids,
      weights: digest,
    },
    { requiredKeys: ["kind", "checkpoint", "samples", "rows"] },
  ),
  trainStep,
  trainRun,
);

test("the size that is reckoned with is never below an operation's size on the wire", () => {
  fc.assert(
    fc.property(operation, (sent) => {
      const message = operationToMessage(sent);
      const lease = { leaseId: 7, fingerprint: fingerprintOf(sent), operation: message, leaseMs: 1 };
      const leases = { message: "leases", leases: { leases: [lease] } } as CoordinatorMessage;
      const wire = coordinatorService.Work.responseSerialize(leases);
      expect(operationMessageBytes(message)).toBeGreaterThanOrEqual(wire.length);
    }),
    { numRuns: 300 },
  );
});

test("an operation that crossed the wire keeps its fingerprint", () => {
  const { responseSerialize, responseDeserialize } = coordinatorService.Work;
  fc.assert(
    fc.property(operation, (sent) => {
      const lease = {
        leaseId: 7,
        fingerprint: fingerprintOf(sent),
        operation: operationToMessage(sent),
        leaseMs: 1,
      };
      const wire = responseSerialize({
        message: "leases",
        leases: { leases: [lease] },
      } as CoordinatorMessage);
      const message = responseDeserialize(wire);
      if (message.message !== "leases") throw new Error(message.message);
      const [back] = message.leases.leases;
      const received = operationFromMessage(back!.operation);
      expect(received.kind).toBe(sent.kind);
      expect(fingerprintOf(received)).toBe(back!.fingerprint);
    }),
    { numRuns: 300 },
  );
});

test("the fingerprint names every field, and the order of triggers, but not the order of keys", () => {
  const base = {
    kind: "score",
    checkpoint: "a",
    samples: "b",
    sample: 1,
    triggers: [
      [1, 2],
      [3, 4],
    ],
  } as const;
  const { kind, ...rest } = base;
  expect(fingerprintOf({ ...rest, kind })).toBe(fingerprintOf(base));
  const others: Operation[] = [
    { ...base, checkpoint: "c" },
    { ...base, samples: "c" },
    { ...base, sample: 2 },
    {
      ...base,
      triggers: [
        [3, 4],
        [1, 2],
      ],
    },
    { ...base, triggers: [[1, 2, 3, 4]] },
  ];
  expect(new Set([base, ...others].map(fingerprintOf)).size).toBe(6);
});

test("triggers of different lengths are no operation, nor are ids that fill no trigger", () => {
  const score = { kind: "score", checkpoint: "a", samples: "b", sample: 1 } as const;
  expect(() => operationToMessage({ ...score, triggers: [[1, 2], [3]] })).toThrow(
    "triggers of 2 and of 1 tokens in one operation",
  );
  const message = operationToMessage({ ...score, triggers: [[1], [2], [3]] });
  if (message.kind !== "score") throw new Error(message.kind);
  const odd = { ...message, score: { ...message.score, triggers: { count: 2, ids: [1, 2, 3] } } };
  expect(() => operationFromMessage(odd)).toThrow(
    "malformed operation: 3 ids are not 2 triggers of one length",
  );
});

test("a message without a kind is refused", () => {
  expect(() => operationFromMessage({ checkpoint: "a" } as never)).toThrow(
    "malformed operation: it has no kind",
  );
});

test("labels that do not fit the rows are refused", () => {
  const sent: Operation = {
    kind: "train-step",
    checkpoint: "a",
    weights: "b",
    samples: "c",
    rows: [0, 1],
    rowWeights: [1, 1],
    objective: { kind: "labels", labels: [1] },
    dropout: 0,
    dropoutSeed: 0,
  };
  expect(() => operationFromMessage(operationToMessage(sent))).toThrow("1 labels for 2 rows");
});

test("a training run without its parts, or with one of two moments, is refused", () => {
  const sent: Operation = {
    kind: "train-run",
    ...{ checkpoint: "a", samples: "c", maxGradNorm: 1, dropout: 0 },
    state: { weights: "b", moments: { means: "d", squares: "e" }, steps: 1 },
    optimiser: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
    steps: [
      {
        ...{ kind: "vectors", learningRate: 1 },
        microBatches: [{ rows: [0, 1], places: [0, 1] }],
        loss: { kind: "distance", targets: [[1], [2]], weights: [1, 1] },
      },
    ],
  };
  const message = operationToMessage(sent);
  if (message.kind !== "trainRun") throw new Error(message.kind);
  const { trainRun } = message;
  const received = (changes: Partial<typeof trainRun>) =>
    operationFromMessage({ ...message, trainRun: { ...trainRun, ...changes } });
  expect(() => received({ state: null })).toThrow("a train-run without state or optimiser");
  expect(() => received({ state: { ...trainRun.state!, squares: "" } })).toThrow("with one of two moments");
  const [step] = trainRun.steps;
  const odd = { ...step!, vectors: { ...step!.vectors!, targets: [1, 2, 3] } };
  expect(() => received({ steps: [odd] })).toThrow("3 numbers are not 2 rows of one length");
});
