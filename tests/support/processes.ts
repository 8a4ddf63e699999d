import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { packageRoot } from "../../proto/package-root.ts";
import type { WorkerOptions } from "../../worker/options.ts";
import type { OnEnd } from "./on-end.ts";
import type { SmallDisk } from "./small-disk.ts";
import { eventually, isRunning } from "./worker-scenes.ts";

/** A worker in a process of its own: the compiled program, as users run it. */
export interface WorkerProcess {
  readonly pid: number;
  readonly process: ChildProcess;
  /** What it wrote to stderr so far. */
  log(): string;
  /** Its inference child. */
  childPid(): Promise<number>;
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>;
  /** Exit code, or the signal that ended it. */
  exit(): Promise<number | NodeJS.Signals>;
}

const workerEntry = join(packageRoot, "dist", "worker", "main.js");

/** Starts a worker process, which is killed with its child when the test ends, or when `onEnd` says. */
export function startWorkerProcess(
  options: WorkerOptions,
  {
    onEnd = onTestFinished,
    env = {},
    disk,
  }: {
    readonly onEnd?: OnEnd;
    readonly env?: Readonly<Record<string, string>>;
    /** A disk that it sees. */
    readonly disk?: SmallDisk;
  } = {},
): WorkerProcess {
  const [command, ...words] = [...(disk?.enter ?? []), process.execPath, workerEntry];
  const child = spawn(command!, [...words, JSON.stringify(options)], {
    stdio: ["ignore", "inherit", "pipe"],
    env: { ...process.env, ...env },
  });
  let written = "";
  child.stderr.on("data", (text: Buffer) => {
    written += text.toString();
  });
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const pid = child.pid!;
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  onEnd(kill);
  return {
    pid,
    process: child,
    log: () => written,
    childPid: async () => {
      await eventually(() => childrenOf(pid).length > 0, `a child of the worker ${pid}`);
      return childrenOf(pid)[0]!;
    },
    kill,
    exit: async () => {
      const [code, signal] = await exited;
      return signal ?? code!;
    },
  };
}

/** Several at once, with ids w1, w2, … and one cache folder. */
export function startWorkerProcesses(count: number, options: Omit<WorkerOptions, "id">): WorkerProcess[] {
  return Array.from({ length: count }, (_, k) => startWorkerProcess({ ...options, id: `w${k + 1}` }));
}

/** Waits until these processes are gone, and says which one is not. */
export async function noOrphans(pids: readonly number[]): Promise<void> {
  await eventually(
    () => !pids.some(isRunning),
    `the end of the processes ${pids.filter(isRunning).join(", ")}`,
  );
}

/** Processes that `pid` started, those that they started, and so on. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Processes whose parent is `pid`, from Linux's process table. */
export function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return list === "" ? [] : list.split(" ").map(Number);
}
