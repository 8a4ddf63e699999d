/**
 * Workers that answer every lease at once with zeros, in a process of their own as real workers are: started by `dispatch.ts` with
 * `ZeroWorkers` as JSON, ended by the end of its IPC channel.
 */
import { openBenchStream } from "./bench-stream.ts";

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
  const tensors = { logits: { shape: [candidates, 1], data: new Float32Array(candidates) } };
  let finished: Uint8Array[] = [];
  const answer = (fingerprint: string) => {
    // As the real worker does, results go out and credit comes back once per turn of the event loop.
    if (finished.push(stream.envelope(fingerprint, tensors, 0)) > 1) return;
    setImmediate(() => {
      stream.send(finished, finished.length);
      finished = [];
    });
  };
  const stream = openBenchStream({
    address,
    workerId: id,
    programForm: "zero",
    window,
    leaseIds: () => [],
    receive(message) {
      if (message.message !== "leases") return;
      for (const { fingerprint } of message.leases.leases) answer(fingerprint);
    },
  });
  return () => stream.leave();
}
