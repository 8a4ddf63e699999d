import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status,
} from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { canonicalJson, digestOf } from "../../proto/canonical-json.ts";
import { coordinatorService } from "../../proto/definition.ts";
import type {
  ArtifactChunk,
  ArtifactRange,
  ArtifactStored,
  ArtifactUpload,
  CoordinatorMessage,
  Hello,
  Welcome,
  WorkerMessage,
} from "../../proto/messages.ts";
import { fingerprintOf, operationToMessage } from "../../proto/operation-codec.ts";
import type { Digest, Operation } from "../../proto/operations.ts";
import { decodeResultEnvelope, type ResultEnvelope } from "../../proto/result-envelope.ts";

type Kind = WorkerMessage["message"];
type Of<K extends Kind> = Extract<WorkerMessage, { message: K }>;

/** One worker's stream as the test sees it. */
export class ScriptedStream {
  readonly hello: Hello;
  readonly #call: ServerDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly #received: WorkerMessage[] = [];
  readonly #wakers = new Set<() => void>();
  /** Sum of the credit granted, less the leases given. */
  credit = 0;
  ended = false;
  /** Answer `Accepted` to every result at once. */
  accepts = true;

  constructor(hello: Hello, call: ServerDuplexStream<WorkerMessage, CoordinatorMessage>) {
    this.hello = hello;
    this.#call = call;
  }

  receive(message: WorkerMessage): void {
    if (message.message === "credit") this.credit += message.credit.leases;
    if (message.message === "resultEnvelopes") {
      for (const envelope of message.resultEnvelopes.envelopes) this.#receiveResult(envelope);
    } else this.#received.push(message);
    this.#wake();
  }

  /** Results are taken one by one, however they travelled. */
  #receiveResult(envelope: Uint8Array): void {
    if (this.accepts) this.accept(decodeResultEnvelope(envelope).fingerprint);
    this.#received.push({ message: "resultEnvelopes", resultEnvelopes: { envelopes: [envelope] } });
  }

  end(): void {
    this.ended = true;
    this.#wake();
  }

  send(message: CoordinatorMessage): void {
    this.#call.write(message);
  }

  lease(leaseId: number, operation: Operation): Digest {
    this.credit--;
    const fingerprint = fingerprintOf(operation);
    const lease = { leaseId, fingerprint, operation: operationToMessage(operation), leaseMs: 30_000 };
    this.send({ message: "leases", leases: { leases: [lease] } });
    return fingerprint;
  }

  cancel(leaseId: number, { letRun = false } = {}): void {
    this.send({ message: "cancel", cancel: { leaseId, reason: "the test says so", letRun } });
  }

  accept(fingerprint: Digest): void {
    this.send({ message: "accepted", accepted: { fingerprints: [fingerprint] } });
  }

  /** The stream breaks without a word. */
  break(): void {
    this.#call.emit("error", { code: status.UNAVAILABLE, details: "broken by the test" });
  }

  close(): void {
    this.#call.end();
  }

  /** Takes the first message of this kind (that `matches`), waiting for it. */
  async take<K extends Kind>(kind: K, matches: (message: Of<K>) => boolean = () => true): Promise<Of<K>> {
    return this.#until(() => {
      const index = this.#received.findIndex((each) => each.message === kind && matches(each as Of<K>));
      return index < 0 ? undefined : (this.#received.splice(index, 1)[0] as Of<K>);
    }, kind);
  }

  async result(): Promise<ResultEnvelope> {
    const { resultEnvelopes } = await this.take("resultEnvelopes");
    return decodeResultEnvelope(resultEnvelopes.envelopes[0]!);
  }

  async takeEnd(): Promise<void> {
    await this.#until(() => (this.ended ? true : undefined), "the end");
  }

  async creditOf(leases: number): Promise<void> {
    await this.#until(() => (this.credit >= leases ? true : undefined), `credit of ${leases}`);
  }

  /** What came and was not taken. */
  left(kind: Kind): number {
    return this.#received.filter((each) => each.message === kind).length;
  }

  async #until<T>(look: () => T | undefined, what: string): Promise<T> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`no ${what} within 60 s`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#wakers.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, 1_000);
        this.#wakers.add(wake);
      });
    }
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}

/** A coordinator over real gRPC which does what the test tells it, for tests of a worker's life. */
export class ScriptedCoordinator {
  readonly artifacts = new Map<Digest, Uint8Array>();
  /** What workers gave with PutArtifact. */
  readonly uploads = new Map<Digest, Buffer>();
  readonly streams: ScriptedStream[] = [];
  readonly #server: Server;
  readonly #wakers = new Set<() => void>();
  port = 0;
  /** Workers get the names that they ask for. */
  welcome: Omit<Welcome, "workerId"> = {
    natsCredentialFollows: false,
    natsUrl: "",
    resultSubject: "",
    heartbeatMs: 100,
    artifactFolder: "",
    artifactNonce: "",
  };
  refuses: string | undefined;
  /** Set: it stands by, and names this leader. */
  leader: string | undefined;
  /** Streams that were answered so. */
  turnedAway = 0;

  /** Listens on a free port, or on `port`, until the test ends. */
  static async start(port = 0): Promise<ScriptedCoordinator> {
    const coordinator = new ScriptedCoordinator();
    await coordinator.listen(port);
    onTestFinished(() => coordinator.stop());
    return coordinator;
  }

  private constructor() {
    this.#server = new Server();
    this.#server.addService(coordinatorService, {
      Work: this.#work,
      FetchArtifact: this.#fetchArtifact,
      PutArtifact: this.#putArtifact,
    });
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async listen(port: number): Promise<void> {
    this.port = await new Promise((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  }

  /** Breaks off all streams and listens no more. */
  async stop(): Promise<void> {
    this.#server.forceShutdown();
  }

  put(bytes: Uint8Array | string): Digest {
    const buffer = Buffer.from(bytes);
    const digest = digestOf(buffer);
    this.artifacts.set(digest, buffer);
    return digest;
  }

  putJson(value: unknown): Digest {
    return this.put(canonicalJson(value));
  }

  /** A checkpoint of one small file, as zero-compute engines need no more. */
  putCheckpoint(content = "weights"): Digest {
    const digest = this.put(content);
    return this.putJson({
      task: "defect_detection",
      files: [{ name: "config.json", digest, bytes: content.length }],
    });
  }

  /** The n-th stream (from 0) that was welcomed, waiting for it. */
  async stream(n = 0): Promise<ScriptedStream> {
    const deadline = Date.now() + 60_000;
    while (this.streams.length <= n) {
      if (Date.now() > deadline) throw new Error(`no stream ${n} within 60 s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#wakers.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this.streams[n]!;
  }

  readonly #fetchArtifact: handleServerStreamingCall<ArtifactRange, ArtifactChunk> = (call) => {
    const { digest, offset, length } = call.request;
    const bytes = this.artifacts.get(digest);
    if (!bytes) {
      call.emit("error", { code: status.NOT_FOUND, details: `no artifact ${digest}` });
      return;
    }
    const end = length === 0 ? bytes.length : Math.min(bytes.length, offset + length);
    for (let at = offset; at < end; at += 1 << 20) {
      call.write({ data: bytes.subarray(at, Math.min(end, at + (1 << 20))), totalBytes: bytes.length });
    }
    call.end();
  };

  readonly #putArtifact: handleClientStreamingCall<ArtifactUpload, ArtifactStored> = (call, callback) => {
    const pieces: Buffer[] = [];
    let digest = "";
    call.on("data", (upload: ArtifactUpload) => {
      digest ||= upload.digest;
      pieces.push(Buffer.from(upload.data));
    });
    call.on("end", () => {
      this.uploads.set(digest, Buffer.concat(pieces));
      callback(null, { digest });
    });
  };

  readonly #work: handleBidiStreamingCall<WorkerMessage, CoordinatorMessage> = (call) => {
    let stream: ScriptedStream | undefined;
    call.on("data", (message: WorkerMessage) => {
      if (stream) return stream.receive(message);
      if (message.message !== "hello") throw new Error(`${message.message} came before Hello`);
      if (this.leader !== undefined) {
        this.turnedAway++;
        call.write({ message: "notLeader", notLeader: { address: this.leader } });
        return call.end();
      }
      if (this.refuses !== undefined) {
        call.write({ message: "refused", refused: { reason: this.refuses } });
        return call.end();
      }
      stream = new ScriptedStream(message.hello, call);
      const { workerId } = message.hello;
      call.write({ message: "welcome", welcome: { ...this.welcome, workerId } });
      this.streams.push(stream);
      for (const wake of this.#wakers) wake();
      this.#wakers.clear();
    });
    call.on("error", () => stream?.end());
    call.on("cancelled", () => stream?.end());
    call.on("end", () => {
      stream?.end();
      call.end();
    });
  };
}
