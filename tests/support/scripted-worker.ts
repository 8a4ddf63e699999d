import { once } from "node:events";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { type CoordinatorClient, connectToCoordinator } from "../../proto/client.ts";
import type {
  CoordinatorMessage,
  DeviceClass,
  Hello,
  LeaseMessage,
  Welcome,
  WorkerMessage,
} from "../../proto/messages.ts";
import { operationFromMessage } from "../../proto/operation-codec.ts";
import type { Operation, TensorMap } from "../../proto/operations.ts";
import { encodeResultEnvelope, type ResultOutcome } from "../../proto/result-envelope.ts";

export const TEST_CLASS: DeviceClass = {
  provider: "cpu",
  runtimeVersion: "1.30.0",
  hardware: "test",
  programForm: "plain",
};
export const TEST_PROGRAM = "program-1";

/** Waits until `probe` gives something, by the coordinator's messages and timers. */
export async function eventually<T>(probe: () => T | undefined | false | null, limitMs = 60_000): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const value = probe();
    if (value !== undefined && value !== false && value !== null) return value;
    if (performance.now() > deadline) throw new Error("it did not come to pass in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * A worker without a model, over real gRPC: it records what it is told and does what the test says. With `answer`, it
 * answers each lease by itself; a window of credit is kept up like a real worker's.
 */
export class ScriptedWorker {
  readonly id: string;
  readonly client: CoordinatorClient;
  readonly stream: ClientDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly leases: LeaseMessage[] = [];
  readonly accepted: string[] = [];
  readonly cancelled: number[] = [];
  refusal: string | undefined;
  welcome: Welcome | undefined;
  isDrained = false;
  isOver = false;
  readonly #deviceClass: DeviceClass;
  readonly #program: string;
  readonly #beats: boolean;
  #beating: NodeJS.Timeout | undefined;
  readonly #publish: ((subject: string, bytes: Uint8Array) => void) | undefined;
  /** Called with every new lease. */
  answer: ((lease: LeaseMessage, worker: ScriptedWorker) => void) | undefined;

  constructor(
    address: string,
    options: {
      readonly id: string;
      readonly credit?: number;
      readonly deviceClass?: DeviceClass;
      readonly program?: string;
      readonly hello?: Partial<Hello>;
      readonly answer?: (lease: LeaseMessage, worker: ScriptedWorker) => void;
      /** False: it sends no heartbeats, like a process that hangs. */
      readonly beats?: boolean;
      /** Sends results through a broker instead of the stream. */
      readonly publish?: (subject: string, bytes: Uint8Array) => void;
    },
  ) {
    this.id = options.id;
    this.#deviceClass = options.deviceClass ?? TEST_CLASS;
    this.#program = options.program ?? TEST_PROGRAM;
    this.#publish = options.publish;
    this.#beats = options.beats ?? true;
    this.answer = options.answer;
    this.client = connectToCoordinator(address, "plain");
    this.stream = this.client.work();
    this.stream.on("data", (message: CoordinatorMessage) => this.#take(message));
    for (const event of ["error", "end"]) {
      this.stream.on(event, () => {
        this.isOver = true;
        clearInterval(this.#beating);
      });
    }
    this.send({
      message: "hello",
      hello: {
        workerId: this.id,
        programVersion: this.#program,
        deviceClass: this.#deviceClass,
        memoryBytes: 0,
        cachedCheckpoints: [],
        threads: 1,
        operatorsElsewhere: [],
        programForms: [],
        incarnation: "",
        natsUserKey: "",
        ...options.hello,
      },
    });
    if (options.credit !== undefined) this.credit(options.credit);
  }

  send(message: WorkerMessage): void {
    this.stream.write(message);
  }

  credit(leases: number): void {
    this.send({ message: "credit", credit: { leases } });
  }

  heartbeat(leaseIds: readonly number[]): void {
    this.send({
      message: "heartbeat",
      heartbeat: { leaseIds, runningLeaseId: 0, childRssBytes: 0, partsDone: 0 },
    });
  }

  /** Leases whose results were neither accepted nor cancelled. */
  get held(): number[] {
    const isOpen = ({ leaseId, fingerprint }: LeaseMessage) =>
      !this.cancelled.includes(leaseId) && !this.accepted.includes(fingerprint);
    return this.leases.filter(isOpen).map(({ leaseId }) => leaseId);
  }

  /** Waits for the `count`-th lease. */
  async lease(count = 1): Promise<LeaseMessage> {
    return eventually(() => this.leases[count - 1]);
  }

  /** What the coordinator calls it. */
  get workerId(): string {
    return this.welcome?.workerId ?? this.id;
  }

  /** @param workerId whom it says that the result is from */
  envelope(fingerprint: string, outcome: ResultOutcome, { workerId = this.workerId } = {}): Uint8Array {
    return encodeResultEnvelope({
      fingerprint,
      workerId,
      deviceClass: this.#deviceClass,
      programVersion: this.#program,
      outcome,
      forwards: 3,
      tokens: 30,
      seconds: 0.001,
    });
  }

  /** Sends a result on the path that the coordinator named in its welcome. */
  give(fingerprint: string, tensors: TensorMap): void {
    this.giveBytes(this.envelope(fingerprint, { kind: "tensors", tensors }));
  }

  giveBytes(bytes: Uint8Array): void {
    if (this.#publish) this.#publish(this.welcome!.resultSubject, bytes);
    else this.send({ message: "resultEnvelopes", resultEnvelopes: { envelopes: [bytes] } });
  }

  /** As a killed process: the connection is gone, without a word. */
  die(): void {
    this.isOver = true;
    clearInterval(this.#beating);
    this.stream.cancel();
    this.client.close();
  }

  async leave(): Promise<void> {
    clearInterval(this.#beating);
    if (this.isOver) return this.client.close();
    this.send({ message: "goodbye", goodbye: { reason: "test over" } });
    const gone = once(this.stream, "end");
    this.stream.end();
    await gone;
    this.client.close();
  }

  #take(message: CoordinatorMessage): void {
    switch (message.message) {
      case "welcome":
        this.welcome = message.welcome;
        if (this.#beats)
          this.#beating = setInterval(() => this.heartbeat(this.held), this.welcome.heartbeatMs);
        break;
      case "leases":
        for (const lease of message.leases.leases) {
          this.leases.push(lease);
          this.answer?.(lease, this);
        }
        break;
      case "accepted":
        this.accepted.push(...message.accepted.fingerprints);
        break;
      case "cancel":
        this.cancelled.push(message.cancel.leaseId);
        break;
      case "drain":
        this.isDrained = true;
        this.send({ message: "goodbye", goodbye: { reason: "drained" } });
        this.stream.end();
        break;
      case "refused":
        this.refusal = message.refused.reason;
        break;
    }
  }
}

/** A scripted worker that ends with the test. */
export function scriptedWorker(...args: ConstructorParameters<typeof ScriptedWorker>): ScriptedWorker {
  const worker = new ScriptedWorker(...args);
  onTestFinished(() => worker.die());
  return worker;
}

/** Logits that tell which operation they are for: row r, class 0 holds `sample + first id of the trigger`. */
export function rightAnswer(operation: Operation): TensorMap {
  if (operation.kind !== "score") throw new Error(`no answer to ${operation.kind}`);
  const { sample, triggers } = operation;
  const data = Float32Array.from(triggers, (trigger) => sample + (trigger[0] ?? 0));
  return { logits: { shape: [triggers.length, 1], data } };
}

/** Answers every lease rightly, and keeps its credit up. */
export const diligent = (lease: LeaseMessage, worker: ScriptedWorker): void => {
  worker.give(lease.fingerprint, rightAnswer(operationFromMessage(lease.operation)));
  worker.credit(1);
};

/** A tile that differs from others by its sample. */
export const tile = (sample: number, checkpoint = "c".repeat(64)): Operation => ({
  kind: "score",
  checkpoint,
  samples: "d".repeat(64),
  sample,
  triggers: [
    [1, 2],
    [3, 4],
  ],
});
