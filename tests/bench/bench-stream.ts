import { connectToCoordinator } from "../../proto/client.ts";
import type { CoordinatorMessage } from "../../proto/messages.ts";
import type { TensorMap } from "../../proto/operations.ts";
import { encodeResultEnvelope } from "../../proto/result-envelope.ts";

export interface BenchStreamOptions {
  readonly address: string;
  readonly workerId: string;
  readonly programForm: string;
  /** Leases that the worker holds at once. */
  readonly window: number;
  /** Leases that it holds now, the running one first. */
  readonly leaseIds: () => readonly number[];
  readonly receive: (message: CoordinatorMessage) => void;
}

/** The stream of a worker without a model, as a coordinator sees it. */
export interface BenchStream {
  envelope(fingerprint: string, tensors: TensorMap, seconds: number): Uint8Array;
  /** Results, and leases that may come in their place. */
  send(envelopes: readonly Uint8Array[], credit: number): void;
  leave(): void;
}

/** Says hello, gives credit for a window, and beats once a second until it leaves. */
export function openBenchStream(options: BenchStreamOptions): BenchStream {
  const { address, workerId, programForm, window, leaseIds, receive } = options;
  const client = connectToCoordinator(address, "plain");
  const stream = client.work();
  const deviceClass = { provider: "cpu", runtimeVersion: "0", hardware: "none", programForm };
  stream.on("error", () => {});
  stream.on("data", receive);
  stream.write({
    message: "hello",
    hello: {
      workerId,
      programVersion: "bench",
      deviceClass,
      memoryBytes: 0,
      cachedCheckpoints: [],
      threads: 1,
      programForms: [],
      incarnation: "",
      natsUserKey: "",
      operatorsElsewhere: [],
    },
  });
  stream.write({ message: "credit", credit: { leases: window } });
  const beating = setInterval(() => {
    const [runningLeaseId = 0] = leaseIds();
    const heartbeat = { leaseIds: [...leaseIds()], runningLeaseId, childRssBytes: 0, partsDone: 0 };
    stream.write({ message: "heartbeat", heartbeat });
  }, 1_000);
  return {
    envelope: (fingerprint, tensors, seconds) =>
      encodeResultEnvelope({
        fingerprint,
        workerId,
        deviceClass,
        programVersion: "bench",
        outcome: { kind: "tensors", tensors },
        forwards: 0,
        tokens: 0,
        seconds,
      }),
    send(envelopes, credit) {
      if (envelopes.length > 0)
        stream.write({ message: "resultEnvelopes", resultEnvelopes: { envelopes: [...envelopes] } });
      stream.write({ message: "credit", credit: { leases: credit } });
    },
    leave() {
      clearInterval(beating);
      stream.write({ message: "goodbye", goodbye: { reason: "the bench is over" } });
      stream.end();
      client.close();
    },
  };
}
