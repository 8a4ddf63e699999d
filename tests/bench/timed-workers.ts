/**
 * Workers that let time pass instead of computing, each on a stream of its own, in a process beside the coordinator's as real workers are: started by
 * `start-timed-workers.ts` with `TimedWorkers` as JSON, ended by the end of its IPC channel.
 */
import type { LeaseMessage } from "../../proto/messages.ts";
import { operationFromMessage } from "../../proto/operation-codec.ts";
import { openBenchStream } from "./bench-stream.ts";
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
  const queue: LeaseMessage[] = [];
  let running: NodeJS.Timeout | undefined;
  let finished: Uint8Array[] = [];
  let credit = 0;
  let willSend = false;
  const stream = openBenchStream({
    address,
    workerId: id,
    programForm: "timed",
    window,
    leaseIds: () => queue.map(({ leaseId }) => leaseId),
    receive(message) {
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
    },
  });

  // As the real worker does, results go out and credit comes back once per turn of the event loop.
  const sendSoon = () => {
    if (willSend) return;
    willSend = true;
    setImmediate(() => {
      willSend = false;
      stream.send(finished, credit);
      finished = [];
      credit = 0;
    });
  };
  const runNext = () => {
    while (running === undefined && queue.length > 0) {
      const operation = operationFromMessage(queue[0]!.operation);
      const finish = () => {
        const { fingerprint } = queue.shift()!;
        finished.push(stream.envelope(fingerprint, landscapeAnswer(operation, hidden), ms / 1_000));
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
  return () => {
    clearTimeout(running);
    stream.leave();
  };
}
