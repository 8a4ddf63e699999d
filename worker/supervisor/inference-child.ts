import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { ChildOptions, FromChild, ToChild } from "../child/messages.ts";
import { childLimits } from "./child-limits.ts";

export interface ChildEvents {
  message(message: FromChild): void;
  /** The process is gone. `asked`: the supervisor killed it. */
  exit(end: { readonly asked: boolean; readonly reason: string }): void;
  /** A line that the child, or the runtime in it, wrote. */
  line(text: string): void;
}

/** One inference process. It is replaced, never restarted: see `supervisor.ts`. */
export class InferenceChild {
  readonly #process: ChildProcess;
  #asked = false;

  constructor(entry: string, options: ChildOptions, events: ChildEvents) {
    const [program, ...words] = [...childLimits(options.device).command, process.execPath];
    this.#process = fork(entry, [JSON.stringify(options)], {
      serialization: "advanced",
      execPath: program!,
      execArgv: words,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => events.line(line));
    }
    this.#process.on("message", (message) => events.message(message as FromChild));
    this.#process.on("error", (error) => {
      // Else it is a message to a process that has just died: its exit tells more.
      if (this.#process.pid === undefined) events.exit({ asked: this.#asked, reason: error.message });
    });
    this.#process.once("exit", (code, signal) => {
      const reason = signal ? `killed by ${signal}` : `exit code ${code}`;
      events.exit({ asked: this.#asked, reason });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isAlive(): boolean {
    const { pid, exitCode, signalCode } = this.#process;
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  send(message: ToChild): void {
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  /** Ends it in the middle of whatever it does; `exit` follows with `asked`. */
  async kill(): Promise<void> {
    this.#asked = true;
    if (!this.isAlive) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }

  /** Resident memory in bytes, also while the child computes; undefined where the system does not say. */
  rssBytes(): number | undefined {
    return this.isAlive ? residentBytes(this.#process.pid) : 0;
  }
}

function residentBytes(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
