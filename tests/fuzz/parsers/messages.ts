import { EventEmitter } from "node:events";
import type { MethodDefinition, ServerDuplexStream } from "@grpc/grpc-js";
import fc from "fast-check";
import { pino } from "pino";
import { Dispatcher } from "../../../coordinator/dispatch/dispatcher.ts";
import { DispatchSettings } from "../../../coordinator/dispatch/settings.ts";
import { serveWork } from "../../../coordinator/dispatch/work-session.ts";
import { workerIdOf } from "../../../coordinator/dispatch/worker-id.ts";
import { ResultIntake } from "../../../coordinator/gather/intake.ts";
import { coordinatorService } from "../../../proto/definition.ts";
import type { CoordinatorMessage, Hello, WorkerMessage } from "../../../proto/messages.ts";
import { fingerprintOf, operationFromMessage } from "../../../proto/operation-codec.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { examplesOf, messageType, methods } from "../generate/messages.ts";
import { changedWire, emptyFields, wireBytes, wireChanges, wireOf } from "../generate/wire.ts";
import type { Files, Parser } from "../parser.ts";
import { decoded, OPERATIONS } from "./operations.ts";

/** Valid messages as trees, under the name of their method and who gets them. */
const seeds = methods.flatMap(({ name, requestType, responseType }) =>
  [
    { file: `${name}.request`, type: messageType(requestType) },
    { file: `${name}.response`, type: messageType(responseType) },
  ].flatMap(({ file, type }) =>
    examplesOf(type).map((example) => ({
      file,
      wire: wireOf(type.encode(type.fromObject(example)).finish(), type),
    })),
  ),
);

/** The stream carries most of what goes on. */
const onStream = seeds.filter(({ file }) => file.startsWith("Work."));

const inputsFrom = (some: typeof seeds): fc.Arbitrary<Files> =>
  fc
    .record({ seed: fc.nat(some.length - 1), changes: wireChanges, bytes: byteChanges })
    .map(({ seed, changes, bytes }) => {
      const { file, wire } = some[seed]!;
      return { [file]: changedBytes(changedWire(wire, changes), bytes) };
    });

export const messages: Parser = {
  name: "messages",
  runs: 10_000,
  inputs: fc.oneof(inputsFrom(onStream), inputsFrom(seeds)),
  extremes: () => ({
    "a heartbeat of a million leases": {
      "Work.request": wireBytes([
        { number: 4, wire: 2, value: [{ number: 1, wire: 2, value: Buffer.alloc(1_000_000, 1) }] },
      ]),
    },
    "a million envelopes of nothing": {
      "Work.request": wireBytes([{ number: 3, wire: 2, value: emptyFields(1, 1_000_000) }]),
    },
    "half a million leases of nothing": {
      "Work.response": wireBytes([{ number: 2, wire: 2, value: emptyFields(1, 500_000) }]),
    },
    "a million digests of nothing": { "FindUploads.request": emptyFields(1, 1_000_000) },
  }),
  parse(files) {
    for (const [file, bytes] of Object.entries(files)) {
      const [method, direction] = file.split(".") as [keyof typeof coordinatorService & string, string];
      const { requestDeserialize, responseDeserialize } = coordinatorService[method] as MethodDefinition<
        object,
        object
      >;
      const read = direction === "request" ? requestDeserialize : responseDeserialize;
      const message = decoded(() => read(Buffer.from(bytes)));
      if (method !== "Work") continue;
      if (direction === "request") handleOfWorker(message as WorkerMessage);
      else handleOfCoordinator(message as CoordinatorMessage);
    }
  },
  errors: ["WireError", "MalformedOperationError"],
  isHeaderError: ({ name }) => name === "WireError",
};

/** What a worker does with a lease before its child does anything. */
function handleOfCoordinator(message: CoordinatorMessage): void {
  if (message.message !== "leases") return;
  for (const { operation } of message.leases.leases)
    if (operation !== null) fingerprintOf(operationFromMessage(operation));
}

const hello: WorkerMessage = {
  message: "hello",
  hello: {
    ...{
      workerId: "w1",
      incarnation: "i1",
      natsUserKey: "",
      programVersion: "cd".repeat(32),
      memoryBytes: 2 ** 32,
      cachedCheckpoints: [],
      threads: 2,
    },
    ...{ operatorsElsewhere: [], programForms: ["primitive", "fused"] },
    deviceClass: { provider: "cpu", runtimeVersion: "1.30.0", hardware: "avx2", programForm: "primitive" },
  },
};

/** A coordinator that waits for results gets the message, from a worker that has leases and from one that nobody knows. */
function handleOfWorker(message: WorkerMessage): void {
  let wrong: unknown;
  const logger = pino(
    { level: "error", serializers: { err: (error: unknown) => error } },
    { write: () => undefined },
  );
  logger.error = ((fields: { readonly err: unknown }) => {
    wrong ??= fields.err;
  }) as typeof logger.error;
  const observer = new Proxy({}, { get: () => () => undefined }) as never;
  const dispatcher = new Dispatcher({
    ...{ settings: DispatchSettings.parse({}), observer, logger },
    ...{ now: () => 0, after: () => undefined, every: () => () => undefined },
  });
  const intake = new ResultIntake({ dispatcher, store: noArtifacts as never, observer, logger });
  dispatcher.run("scope", OPERATIONS.slice(0, 4)).catch(() => undefined);
  for (const first of [[hello, { message: "credit", credit: { leases: 4 } } as const], []]) {
    const stream = { getPeer: () => "fuzz", write: () => true, end: () => undefined };
    const call = Object.assign(new EventEmitter(), stream);
    serveWork(call as unknown as ServerDuplexStream<WorkerMessage, CoordinatorMessage>, {
      ...{ dispatcher, logger, idOf: (said: Hello) => workerIdOf(said, false) },
      receive: (bytes, workerId) => void intake.receive(bytes, { workerId, path: "stream" }),
      welcome: () => ({
        workerId: "w1",
        natsCredentialFollows: false,
        natsUrl: "",
        resultSubject: "",
        heartbeatMs: 1_000,
        artifactFolder: "",
        artifactNonce: "",
      }),
    });
    for (const each of [...first, message]) call.emit("data", each);
    call.emit("cancelled");
  }
  dispatcher.close();
  if (wrong !== undefined) throw wrong;
}

const noArtifacts = {
  find: async () => undefined,
  release: async () => undefined,
  keepUpload: async () => undefined,
  uploads: {
    bytes: async () => undefined,
    read: async () => new Uint8Array(),
    release: async () => undefined,
  },
};
