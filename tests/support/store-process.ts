import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { packageRoot } from "../../proto/package-root.ts";
import type { SmallDisk } from "./small-disk.ts";

/** A log in a process of its own that does what it is told; the commands are in `store-process.mjs`. */
export interface StoreProcess {
  /** @throws Error with the name and message of what failed there. */
  ask<T>(command: object): Promise<T>;
  /** `kill -9` so long after a command was sent. */
  killDuring(command: object, afterMs: number): Promise<void>;
  /** `kill -9`; resolves when it is gone. */
  end(): Promise<void>;
}

/** @param disk where it sees files, beside its own */
export function startStoreProcess(disk?: SmallDisk): StoreProcess {
  const script = join(packageRoot, "tests", "support", "store-process.mjs");
  const [command, ...words] = [...(disk?.enter ?? []), process.execPath, script];
  const child = spawn(command!, words, { stdio: ["pipe", "pipe", "inherit"] });
  const gone = once(child, "close");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const end = async () => {
    child.kill("SIGKILL");
    await gone;
  };
  onTestFinished(end);
  child.stdin.on("error", () => {});
  return {
    end,
    async ask<T>(command: object): Promise<T> {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      const { value: line, done } = await lines.next();
      if (done) throw new Error(`the process ended at ${JSON.stringify(command).slice(0, 200)}`);
      const { answer, error } = JSON.parse(line) as { answer: T; error?: string };
      if (error !== undefined) throw new Error(error);
      return answer;
    },
    async killDuring(command, afterMs) {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await end();
    },
  };
}
