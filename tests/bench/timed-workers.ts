/**
 * Workers that let time pass instead of computing, each on a stream of its own, in a process beside the coordinator's as real workers are: started by
 * `start-timed-workers.ts` with `TimedWorkers` as JSON, ended by the end of its IPC channel.
 */
import { connectToCoordinator } from "../../proto/client.ts";
import type { CoordinatorMessage, LeaseMessage } from "../../proto/messages.ts";
import { operationFromMessage } from "../../proto/operation-codec.ts";
import { encodeResultEnvelope } from "../../proto/result-envelope.ts";
import { landscapeAnswer } from "./landscape.ts";

export interface TimedWorkers {
  readonly address: string;
  readonly workers: number;
  /** Leases that each holds at once. */
  readonly window: number;
  /** Milliseconds of each kind of operation; 0: it is answered in the turn of the event loop in which it came. */
  readonly durationMs: { readonly score: number; readonly gradient: number; readonly rank: number };
  /** Width of gradients: it decides how large results are. */
  readonly hidden: number;
}

const { address, workers, window, durationMs, hidden } = JSON.parse(process.argv[2]!) as TimedWorkers;
const leaving = Array.from({ length: workers }, (_, i) => startTimedWorker(`w${i}`));
process.once("disconnect", () => {
  for (const leave of leaving) leave();
});

/** Keeps its window full. Returns what ends it. */
function startTimedWorker(id: string): () => void {
  const client = connectToCoordinator(address);
  const stream = client.work();
  const deviceClass = { provider: "cpu", runtimeVersion: "0", hardware: "none", programForm: "timed" };
  stream.on("error", () => {});
  const queue: LeaseMessage[] = [];
  let running: NodeJS.Timeout | undefined;
  let finished: Uint8Array[] = [];
  let credit = 0;
  let willSend = false;

  // As the real worker does, results go out and credit comes back once per turn of the event loop.
  const sendSoon = () => {
    if (willSend) return;
    willSend = true;
    setImmediate(() => {
      willSend = false;
      if (finished.length > 0)
        stream.write({ message: "resultEnvelopes", resultEnvelopes: { envelopes: finished } });
      stream.write({ message: "credit", credit: { leases: credit } });
      finished = [];
      credit = 0;
    });
  };
  const runNext = () => {
    while (running === undefined && queue.length > 0) {
      const operation = operationFromMessage(queue[0]!.operation);
      const finish = () => {
        const { fingerprint } = queue.shift()!;
        const envelope = encodeResultEnvelope({
          fingerprint,
          workerId: id,
          deviceClass,
          programVersion: "bench",
          outcome: { kind: "tensors", tensors: landscapeAnswer(operation, hidden) },
          forwards: 0,
          tokens: 0,
          seconds: ms / 1_000,
        });
        finished.push(envelope);
        credit++;
        sendSoon();
      };
      const ms = durationMs[operation.kind as keyof typeof durationMs];
      if (ms === 0) {
        finish();
        continue;
      }
      running = setTimeout(() => {
        running = undefined;
        finish();
        runNext();
      }, ms);
    }
  };
  stream.on("data", (message: CoordinatorMessage) => {
    if (message.message === "leases") {
      queue.push(...message.leases.leases);
      runNext();
    } else if (message.message === "cancel") {
      const at = queue.findIndex(({ leaseId }) => leaseId === message.cancel.leaseId);
      if (at < (running === undefined ? 0 : 1)) return;
      queue.splice(at, 1);
      credit++;
      sendSoon();
    }
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
      programForms: [],
      operatorsElsewhere: [],
    },
  });
  stream.write({ message: "credit", credit: { leases: window } });
  const beating = setInterval(() => {
    const leaseIds = queue.map(({ leaseId }) => leaseId);
    const heartbeat = { leaseIds, runningLeaseId: leaseIds[0] ?? 0, childRssBytes: 0, partsDone: 0 };
    stream.write({ message: "heartbeat", heartbeat });
  }, 1_000);
  return () => {
    clearInterval(beating);
    clearTimeout(running);
    stream.write({ message: "goodbye", goodbye: { reason: "the bench is over" } });
    stream.end();
    client.close();
  };
}
