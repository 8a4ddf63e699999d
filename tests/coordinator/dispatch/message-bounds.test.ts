import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { expect, onTestFinished, test, vi } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { refusalOf } from "../../../coordinator/dispatch/hello.ts";
import { withIdleLimit } from "../../../coordinator/dispatch/idle-limit.ts";
import { ResultUploads } from "../../../coordinator/dispatch/result-uploads.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import { connectToCoordinator } from "../../../proto/client.ts";
import { MAX_MESSAGE_BYTES, MAX_REASON_CHARACTERS } from "../../../proto/message-bounds.ts";
import type { Hello } from "../../../proto/messages.ts";
import {
  decodeResultEnvelope,
  encodeResultEnvelope,
  MalformedEnvelopeError,
  type ResultEnvelope,
} from "../../../proto/result-envelope.ts";
import {
  diligent,
  eventually,
  rightAnswer,
  scriptedWorker,
  TEST_CLASS,
  tile,
} from "../../support/scripted-worker.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const hello: Hello = {
  workerId: "w1",
  incarnation: "i-1",
  natsUserKey: "",
  programVersion: "program-1",
  deviceClass: TEST_CLASS,
  memoryBytes: 8e9,
  cachedCheckpoints: ["a".repeat(64)],
  threads: 8,
  operatorsElsewhere: ["Add on CPUExecutionProvider"],
  programForms: ["primitive", "fused"],
};

const classWith = (part: Partial<Hello["deviceClass"]>) => ({ deviceClass: { ...TEST_CLASS, ...part } });

test.each<[string, Partial<Hello>, RegExp]>([
  ["an id that is no token", { workerId: "w 1" }, /^worker_id 'w 1'/],
  ["an incarnation without end", { incarnation: "i".repeat(1e6) }, /^incarnation: it has more than/],
  ["an id of 65 letters", { workerId: "w".repeat(65) }, /^worker_id/],
  [
    "hardware of 201 letters",
    classWith({ hardware: "x".repeat(201) }),
    /^device_class\.hardware: it must be at most 200/,
  ],
  ["a provider with a line break", classWith({ provider: "cpu\nlevel=error" }), /^device_class\.provider/],
  ["a version without end", { programVersion: "v".repeat(1e6) }, /^program_version/],
  ["more memory than machines have", { memoryBytes: 2 ** 51 }, /^memory_bytes 2251799813685248/],
  ["a memory that is no number", { memoryBytes: Number.NaN }, /^memory_bytes NaN/],
  ["a million threads", { threads: 1e6 }, /^threads 1000000: at most 1024/],
  [
    "a checkpoint that is no digest",
    { cachedCheckpoints: ["../etc"] },
    /^cached_checkpoints: '\.\.\/etc' is no sha256/,
  ],
  [
    "checkpoints without end",
    { cachedCheckpoints: Array(10_001).fill("a".repeat(64)) },
    /^cached_checkpoints: 10001/,
  ],
  ["operators without end", { operatorsElsewhere: Array(1_001).fill("Add") }, /^operators_elsewhere/],
  ["forms without end", { programForms: Array(17).fill("fused") }, /^program_forms/],
])("a Hello with %s is refused by its field", (_, part, problem) => {
  expect(refusalOf(hello, undefined)).toBeUndefined();
  expect(refusalOf({ ...hello, ...part }, undefined)).toMatch(problem);
});

const envelope: ResultEnvelope = {
  fingerprint: "f".repeat(64),
  workerId: "w1",
  deviceClass: TEST_CLASS,
  programVersion: "program-1",
  outcome: { kind: "tensors", tensors: {} },
  forwards: 1,
  tokens: 2,
  seconds: 0.5,
};

test.each<[string, Partial<ResultEnvelope>, RegExp]>([
  ["seconds that are no number", { seconds: Number.NaN }, /its seconds are NaN/],
  ["seconds below 0", { seconds: -1 }, /its seconds are -1/],
  ["endless seconds", { seconds: Number.POSITIVE_INFINITY }, /its seconds are Infinity/],
  ["a class with a line break", { deviceClass: { ...TEST_CLASS, hardware: "a\nb" } }, /its hardware is not/],
  ["a version of a megabyte", { programVersion: "v".repeat(1e6) }, /its programVersion is not/],
])("a result with %s is malformed", (_, part, problem) => {
  expect(decodeResultEnvelope(encodeResultEnvelope(envelope))).toMatchObject({ seconds: 0.5 });
  const read = () => decodeResultEnvelope(encodeResultEnvelope({ ...envelope, ...part }));
  expect(read).toThrow(MalformedEnvelopeError);
  expect(read).toThrow(problem);
});

test("what a worker says of an error goes on no longer than a reason is", () => {
  const outcome = { kind: "error", retryable: true, message: "x".repeat(100_000) } as const;
  const read = decodeResultEnvelope(encodeResultEnvelope({ ...envelope, outcome }));
  expect(read.outcome).toMatchObject({ kind: "error", retryable: true });
  expect((read.outcome as { readonly message: string }).message.length).toBe(MAX_REASON_CHARACTERS + 2);
});

async function cluster() {
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 100,
  });
  onTestFinished(() => coordinator.close());
  const client = connectToCoordinator(coordinator.address, "plain", { "grpc.max_send_message_length": -1 });
  onTestFinished(() => client.close());
  return { coordinator, client };
}

test("a result whose seconds are no number spoils no accounts: it is done again by another worker", async () => {
  const { coordinator } = await cluster();
  const liar = scriptedWorker(coordinator.address, { id: "liar", credit: 1 });
  const running = coordinator.executor.execute([tile(1)]);
  const { fingerprint } = await liar.lease();
  const outcome = { kind: "tensors", tensors: rightAnswer(tile(1)) } as const;
  liar.giveBytes(
    encodeResultEnvelope({ ...envelope, fingerprint, workerId: "liar", outcome, seconds: Number.NaN }),
  );
  scriptedWorker(coordinator.address, { id: "honest", credit: 1, answer: diligent });
  await running;
  expect(coordinator.shares().map(({ workSeconds }) => workSeconds)).toEqual([0.001]);
});

test("a worker that names leases without end, or goes on after it was refused, loses its stream", async () => {
  const { coordinator } = await cluster();
  const flooding = scriptedWorker(coordinator.address, { id: "flooding" });
  await eventually(() => flooding.welcome);
  flooding.heartbeat(Array.from({ length: 5_000 }, (_, k) => k));
  await eventually(() => flooding.isOver);
  await eventually(() => coordinator.workers().length === 0);

  const refused = scriptedWorker(coordinator.address, { id: "refused", hello: { threads: 5_000 } });
  for (let k = 0; k < 100; k++) refused.heartbeat([k]);
  await eventually(() => refused.isOver);
  expect(refused.refusal).toBe("threads 5000: at most 1024");
});

const failureOf = <T>(call: (done: (error: ServiceError | null, answer?: T) => void) => unknown) =>
  new Promise<ServiceError | null>((resolve) => void call((error) => resolve(error)));

test("messages above 4 MiB, and metadata without end, are refused with a status, and the next call is answered", async () => {
  const { client } = await cluster();
  const large = await failureOf((done) =>
    client.submitSweep({ name: "s", text: "x".repeat(MAX_MESSAGE_BYTES), folder: "/" }, done),
  );
  expect(large).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  const metadata = new Metadata();
  for (let k = 0; k < 2_000; k++) metadata.set(`key-${k}`, "v".repeat(200));
  const stream = client.work(metadata);
  const ended = new Promise<number>((resolve) => {
    stream.on("error", ({ code }: ServiceError) => resolve(code));
  });
  stream.resume();
  expect([status.UNAVAILABLE, status.INTERNAL, status.RESOURCE_EXHAUSTED, status.CANCELLED]).toContain(
    await ended,
  );
  const next = await failureOf((done) => client.submitSweep({ name: "s", text: "", folder: "/" }, done));
  expect(next).toMatchObject({ code: status.FAILED_PRECONDITION });
});

test("results of workers take no more of the disk than they may", async () => {
  const uploads = new ResultUploads(tempFolder(), { maxUploadsBytes: 100 });
  async function* bytes(length: number) {
    yield Buffer.alloc(length, length);
  }
  const put = (length: number) => uploads.receive(digestOf(Buffer.alloc(length, length)), bytes(length));
  await put(60);
  await expect(put(41)).rejects.toThrow(/take the 100 bytes that they may take/);
  await put(40);
  await uploads.release(digestOf(Buffer.alloc(60, 60)));
  await put(50);
});

test("results that come at the same time take no more of the disk together than they may", async () => {
  const uploads = new ResultUploads(tempFolder(), { maxUploadsBytes: 100 });
  const [first, second] = [Buffer.alloc(60, 1), Buffer.alloc(41, 2)];
  let cameWhole = () => {};
  let goOn = () => {};
  const whole = new Promise<void>((resolve) => (cameWhole = resolve));
  const end = new Promise<void>((resolve) => (goOn = resolve));
  async function* slowly() {
    yield first;
    cameWhole();
    await end;
  }
  const receiving = uploads.receive(digestOf(first), slowly());
  await whole;
  async function* atOnce() {
    yield second;
  }
  await expect(uploads.receive(digestOf(second), atOnce())).rejects.toThrow(/take the 100 bytes/);
  goOn();
  await receiving;
  expect(await uploads.bytes(digestOf(first))).toBe(60);
});

test("what no result named makes room for what comes, however full it was", async () => {
  const uploads = new ResultUploads(tempFolder(), { maxUploadsBytes: 100, keepUploadsMs: 200 });
  async function* bytes(length: number) {
    yield Buffer.alloc(length, length);
  }
  const put = (length: number) => uploads.receive(digestOf(Buffer.alloc(length, length)), bytes(length));
  await put(100);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await put(90);
  expect(await uploads.bytes(digestOf(Buffer.alloc(100, 100)))).toBeUndefined();
});

test("a client that stops in the middle of an upload is waited for no longer than the limit", async () => {
  async function* stalling() {
    yield 1;
    await new Promise(() => undefined);
  }
  const seen: number[] = [];
  const reading = (async () => {
    for await (const each of withIdleLimit(stalling(), 50, () => new Error("nothing more came")))
      seen.push(each);
  })();
  await expect(reading).rejects.toThrow("nothing more came");
  expect(seen).toEqual([1]);
});

test("nothing counts down while nobody waits: who takes the first piece alone leaves no timer behind", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  async function* pieces() {
    yield 1;
    yield 2;
  }
  const limited = withIdleLimit(pieces(), 60_000, () => new Error("nothing more came"));
  expect(await limited.next()).toEqual({ done: false, value: 1 });
  expect(vi.getTimerCount()).toBe(0);
});
