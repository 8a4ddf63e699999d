import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { runElibad } from "../../coordinator/cli/program.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { OnEnd } from "./on-end.ts";
import { tempFolder } from "./temp-folder.ts";

/** What a run of `elibad` answered. */
export interface CommandRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `elibad` in this process: the real program, with what it writes caught. One at a time. */
export async function elibadHere(...words: readonly string[]): Promise<CommandRun> {
  const written = { stdout: "", stderr: "" };
  const restore = (["stdout", "stderr"] as const).map((name) => {
    const stream = process[name];
    const write = stream.write;
    stream.write = ((text: string | Uint8Array) => {
      written[name] += typeof text === "string" ? text : Buffer.from(text).toString("utf8");
      return true;
    }) as typeof stream.write;
    return () => {
      stream.write = write;
    };
  });
  try {
    return { code: await runElibad(words), ...written };
  } finally {
    for (const each of restore) each();
  }
}

/** `elibad` in a process of its own. */
export interface ElibadProcess {
  readonly process: ChildProcess;
  /** What it wrote to stderr so far. */
  stderr(): string;
  /** Its end: the exit code, or an error where a signal ended it. */
  ended(): Promise<CommandRun>;
}

/** Starts the command as users do; it is killed when the test ends, or when `onEnd` says, and what it leaves in the system's temporary folder is removed. */
export function startElibad(
  words: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onEnd: OnEnd = onTestFinished,
): ElibadProcess {
  const child = spawn(process.execPath, [join(packageRoot, "coordinator/cli/elibad.mjs"), ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: tempFolder(onEnd), ...env },
  });
  const written = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (text: Buffer) => {
      written[name] += text.toString();
    });
  }
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  onEnd(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  return {
    process: child,
    stderr: () => written.stderr,
    async ended() {
      const [code, signal] = await closed;
      if (code === null) throw new Error(`elibad ended by ${signal}: ${written.stderr}`);
      return { code, ...written };
    },
  };
}
