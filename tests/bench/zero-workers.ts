/**
 * Workers that answer every lease at once with zeros, in a process of their own as real workers are: started by `dispatch.ts` with
 * `ZeroWorkers` as JSON, ended by the end of its IPC channel.
 */
import { connectToCoordinator } from "../../proto/client.ts";
import type { CoordinatorMessage } from "../../proto/messages.ts";
import { encodeResultEnvelope } from "../../proto/result-envelope.ts";

export interface ZeroWorkers {
  readonly address: string;
  readonly workers: number;
  /** Leases that each holds at once. */
  readonly window: number;
  /** Candidates in every tile. */
  readonly candidates: number;
}

const { address, workers, window, candidates } = JSON.parse(process.argv[2]!) as ZeroWorkers;
const leaving = Array.from({ length: workers }, (_, i) => startZeroWorker(`w${i}`));
process.once("disconnect", () => {
  for (const leave of leaving) leave();
});

/** Keeps its window full. Returns what ends it. */
function startZeroWorker(id: string): () => void {
  const client = connectToCoordinator(address);
  const stream = client.work();
  const deviceClass = { provider: "cpu", runtimeVersion: "0", hardware: "none", programForm: "zero" };
  const tensors = { logits: { shape: [candidates, 1], data: new Float32Array(candidates) } };
  stream.on("error", () => {});
  let finished: Uint8Array[] = [];
  const answer = (fingerprint: string) => {
    const envelope = encodeResultEnvelope({
      fingerprint,
      workerId: id,
      deviceClass,
      programVersion: "bench",
      outcome: { kind: "tensors", tensors },
      forwards: 0,
      tokens: 0,
      seconds: 0,
    });
    // As the real worker does, results go out and credit comes back once per turn of the event loop.
    if (finished.push(envelope) > 1) return;
    setImmediate(() => {
      stream.write({ message: "resultEnvelopes", resultEnvelopes: { envelopes: finished } });
      stream.write({ message: "credit", credit: { leases: finished.length } });
      finished = [];
    });
  };
  stream.on("data", (message: CoordinatorMessage) => {
    if (message.message !== "leases") return;
    for (const { fingerprint } of message.leases.leases) answer(fingerprint);
  });
  stream.write({
    message: "hello",
    hello: {
      workerId: id,
      programVersion: "bench",
      deviceClass,
      memoryBytes: 0,
      cachedCheckpoints: [],
      threads: 1,
      operatorsElsewhere: [],
      programForms: [],
    },
  });
  stream.write({ message: "credit", credit: { leases: window } });
  const beating = setInterval(() => {
    const heartbeat = { leaseIds: [], runningLeaseId: 0, childRssBytes: 0, partsDone: 0 };
    stream.write({ message: "heartbeat", heartbeat });
  }, 1_000);
  return () => {
    clearInterval(beating);
    stream.write({ message: "goodbye", goodbye: { reason: "the bench is over" } });
    stream.end();
    client.close();
  };
}
