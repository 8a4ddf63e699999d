import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { JetStreamLogOptions } from "../../coordinator/store/jetstream-log.ts";
import type { Log } from "../../coordinator/store/log.ts";
import { packageRoot } from "../../proto/package-root.ts";
import { eventually } from "./worker-scenes.ts";

export interface StoreWriter {
  readonly process: ChildProcess;
  /** Waits until this many appends were acknowledged. */
  acked(count: number): Promise<void>;
  /** Sequence of the last acknowledged record; undefined before the first. */
  readonly lastAcked: number | undefined;
  /** Lines that it printed. */
  readonly lines: readonly string[];
  /** `kill -9`; resolves when it is gone, and all that it printed was read. */
  kill(): Promise<void>;
}

type WriterOptions = { readonly pad?: number; readonly seed?: number } & (
  | { readonly file: string }
  | { readonly stream: JetStreamLogOptions }
);

/** A process of its own that appends and snapshots as fast as it can. */
export function startStoreWriter(options: WriterOptions): StoreWriter {
  const script = join(packageRoot, "tests", "support", "store-writer.mjs");
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  let text = "";
  child.stdout.on("data", (data: Buffer) => {
    text += data.toString();
  });
  const lines = () => text.split("\n").slice(0, -1);
  const acks = () => lines().filter((line) => line.startsWith("acked "));
  const kill = async () => {
    child.kill("SIGKILL");
    await closed;
  };
  onTestFinished(kill);
  return {
    process: child,
    acked: (count) => eventually(() => acks().length >= count, `${count} acknowledged appends`),
    get lastAcked() {
      const last = acks().at(-1);
      return last === undefined ? undefined : Number(last.split(" ")[1]);
    },
    get lines() {
      return lines();
    },
    kill,
  };
}

/** Everything up to `acked` is there, in order, and of each append all records or none. */
export async function expectWhole(log: Log, acked: number): Promise<void> {
  expect(log.last).toBeGreaterThanOrEqual(acked);
  let last = 0;
  let open = 0;
  for await (const entry of log.replay()) {
    if (entry.kind === "snapshot") {
      expect(entry.value).toMatchObject({ n: entry.upTo });
      last = entry.upTo;
      continue;
    }
    const { n, k, of } = entry.value as { n: number; k: number; of: number };
    expect([entry.sequence, n, k]).toEqual([last + 1, last + 1, open]);
    last = n;
    open = k + 1 === of ? 0 : k + 1;
  }
  expect([last, open]).toEqual([log.last, 0]);
}
