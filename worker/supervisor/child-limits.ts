import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { DeviceName } from "../device-names.ts";

/** What an inference process may not do, beside what its user may not. */
export interface ChildLimits {
  /** Words in front of its command line; none where the system has no such programs. */
  readonly command: readonly string[];
  /** For the log: what holds, or why nothing does. */
  readonly said: string;
}

/**
 * Largest file that it may write, in bytes: more than the coordinator takes as a result. Memory is not limited here: CUDA reserves more addresses than there is memory,
 * weights are mapped, and a container's own limit counts what is really used.
 */
const FILE_BYTES = 16 * 1024 ** 3;
/** Processes and threads of the user; onnxruntime has one for each of at most 1,024 cores. */
const PROCESSES = 32_768;

const known = new Map<boolean, ChildLimits>();

/**
 * Limits for inference processes of this machine, found out once. A checkpoint is parsed, and its graph run, by native code: should that be made to do what it should not, it leaves no
 * copy of its memory on the disk, fills no disk with one file, starts no processes without end and, on a CPU, becomes no other user by a set-user-id program (CUDA loads its kernel module by one, where nobody
 * did before). `prlimit` and `setpriv` (util-linux) set that and become the process, so that it has the same id and costs nothing.
 */
export function childLimits(device: DeviceName): ChildLimits {
  const isCpu = device === "cpu";
  const limits =
    known.get(isCpu) ?? (process.platform === "linux" ? onLinux(isCpu) : none("this system has no prlimit"));
  known.set(isCpu, limits);
  return limits;
}

function onLinux(isCpu: boolean): ChildLimits {
  const hard = hardLimits();
  const command = [
    "prlimit",
    "--core=0",
    `--fsize=${Math.min(FILE_BYTES, hard("Max file size"))}`,
    `--nproc=${Math.min(PROCESSES, hard("Max processes"))}`,
    ...(isCpu ? ["setpriv", "--no-new-privs"] : []),
  ];
  try {
    // Where a container's rules forbid it, no child would start.
    execFileSync(command[0]!, [...command.slice(1), "true"], { stdio: "pipe", timeout: 5_000 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return none(code === "ENOENT" ? "there is no prlimit (util-linux)" : message.split("\n")[0]!);
  }
  const said = [
    "no core files",
    `files of at most ${FILE_BYTES / 1024 ** 3} GiB`,
    `${PROCESSES} processes`,
    ...(isCpu ? ["no new privileges"] : []),
  ].join(", ");
  return { command, said: `the inference process runs under limits: ${said}` };
}

const none = (reason: string): ChildLimits => ({
  command: [],
  said: `the inference process runs without limits of its own: ${reason}`,
});

/** This process's own hard limits, which only root may raise. */
function hardLimits(): (name: string) => number {
  const text = readFileSync("/proc/self/limits", "utf8");
  return (name) => {
    const value = new RegExp(`^${name} +\\S+ +(\\S+)`, "m").exec(text)?.[1];
    return value === undefined || value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value);
  };
}
