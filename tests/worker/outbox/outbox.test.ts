import { expect, test } from "vitest";
import { digestOf } from "../../../proto/canonical-json.ts";
import {
  decodeResultEnvelope,
  encodeResultEnvelope,
  type ResultEnvelope,
} from "../../../proto/result-envelope.ts";
import { Outbox, type OutboxResult } from "../../../worker/outbox/outbox.ts";

const limits = { maxResults: 3, maxBytes: 1_000, resendMs: 100 };

const result = (name: string, parts: Partial<OutboxResult> = {}): OutboxResult => ({
  fingerprint: digestOf(name),
  envelope: Buffer.alloc(10),
  files: [],
  replaces: [],
  reusable: true,
  ...parts,
});

const file = { path: "somewhere", digest: digestOf("file"), bytes: 1_000, isArtifact: false };

test("only the coordinator's word removes a result", () => {
  const outbox = new Outbox(limits);
  const put = result("a");
  outbox.put(put, 1, 0);
  outbox.sending(put.fingerprint, 0);
  expect(outbox.results).toBe(1);
  expect(outbox.accept(digestOf("b"))).toBeUndefined();
  expect(outbox.accept(put.fingerprint)).toMatchObject(put);
  expect([outbox.results, outbox.bytes]).toEqual([0, 0]);
});

test("it is full by number or by bytes, files included, and takes what comes all the same", () => {
  const byNumber = new Outbox(limits);
  for (const name of ["a", "b"]) byNumber.put(result(name), 1, 0);
  expect(byNumber.isFull).toBe(false);
  byNumber.put(result("c"), 1, 0);
  expect(byNumber.isFull).toBe(true);
  byNumber.put(result("d"), 1, 0);
  expect(byNumber.results).toBe(4);

  const byBytes = new Outbox(limits);
  byBytes.put(result("a", { files: [file] }), 1, 0);
  expect([byBytes.isFull, byBytes.bytes]).toEqual([true, 1_010]);
});

test("a newer result of the same operation takes the place of an older one, which is given back", () => {
  const outbox = new Outbox(limits);
  const older = result("a", { files: [file] });
  outbox.put(older, 1, 0);
  expect(outbox.put(result("a"), 2, 0)).toMatchObject(older);
  expect([outbox.results, outbox.bytes, outbox.leaseIds()]).toEqual([1, 10, [2]]);
});

test("an unaccepted result is overdue later and later", () => {
  const outbox = new Outbox(limits);
  const { fingerprint } = result("a");
  outbox.put(result("a"), 1, 0);
  const sentAt: number[] = [];
  for (let now = 0; now <= 1_500; now += 50) {
    if (now > 0 && outbox.overdue(now).length === 0) continue;
    sentAt.push(now);
    outbox.sending(fingerprint, now);
  }
  expect(sentAt).toEqual([0, 100, 300, 700, 1_500]);
});

test("leases of waiting results are kept alive until their stream ends", () => {
  const outbox = new Outbox(limits);
  outbox.put(result("a"), 7, 0);
  outbox.put(result("b"), undefined, 0);
  expect(outbox.leaseIds()).toEqual([7]);
  outbox.forgetLeases();
  expect(outbox.leaseIds()).toEqual([]);
  expect(outbox.all()).toHaveLength(2);
});

test("a new lease finds a result that waits, but not an error that may not come again", () => {
  const outbox = new Outbox(limits);
  outbox.put(result("a"), undefined, 0);
  outbox.put(result("b", { reusable: false }), undefined, 0);
  expect(outbox.find(digestOf("a"), 5)).toMatchObject(result("a"));
  expect(outbox.leaseIds()).toEqual([5]);
  expect(outbox.find(digestOf("b"), 6)).toBeUndefined();
  expect(outbox.find(digestOf("c"), 7)).toBeUndefined();
});

test("what waits goes out under the worker's new id where a coordinator calls it otherwise, with every bit of the result", () => {
  const outbox = new Outbox(limits);
  const fingerprint = digestOf("a");
  const data = Float32Array.of(1.5, Number.MIN_VALUE, -0);
  const tensors = { logits: { shape: [3], data } };
  const envelope: ResultEnvelope = {
    fingerprint,
    ...{ workerId: "w1", programVersion: "p", outcome: { kind: "tensors", tensors } },
    deviceClass: { provider: "cpu", runtimeVersion: "1", hardware: "h", programForm: "primitive" },
    ...{ artifacts: { weights: digestOf("w") }, forwards: 3, tokens: 30, seconds: 0.25 },
  };
  outbox.put(result("a", { envelope: encodeResultEnvelope(envelope) }), 7, 0);
  outbox.rename("w1-proven");
  const [waiting] = outbox.all();
  expect(decodeResultEnvelope(waiting!.envelope)).toEqual({ ...envelope, workerId: "w1-proven" });
  expect(outbox.bytes).toBe(waiting!.envelope.byteLength);
  expect(outbox.leaseIds()).toEqual([7]);
});
