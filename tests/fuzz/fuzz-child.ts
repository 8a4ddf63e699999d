/** One child process under limits, seen from outside: what hangs, grows or dies is found out here. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { packageRoot } from "../../proto/package-root.ts";
import type { Answer, Job } from "./child.ts";
import { LIMITS, PROGRESS } from "./parser.ts";
import { FORGET } from "./peak-memory.ts";

/** A child ended, or had to be ended, while it tried the input that came after `index` others. */
export interface Death {
  readonly index: number;
  readonly problem: string;
}

const WATCH_MS = 200;
/** Where the system does not say how much processor time a process had: a busy machine may give it little. */
const LONGEST_MS = 60_000;
const CHILD = join(packageRoot, "dist/tests/fuzz/child.js");

/** The flag of this version of Node under which a process may only do what it is told it may. */
const PERMISSION = process.allowedNodeEnvironmentFlags.has("--permission")
  ? "--permission"
  : "--experimental-permission";

export class FuzzChild {
  readonly #folder: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #stderr = "";
  /** Resident memory, in bytes, before the first input. */
  #restingBytes: number | undefined;

  /** @param folder is made, and is the only place where the child may write */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
    const flags = [
      PERMISSION,
      "--allow-fs-read=*",
      `--allow-fs-write=${join(folder, "*")}`,
      `--allow-fs-write=${FORGET}`,
      "--expose-gc",
      "--no-warnings",
      // What the parsers themselves take before the first input is less than 100 MiB.
      `--max-old-space-size=${100 + LIMITS.bytes / 1024 ** 2}`,
    ];
    this.#process = spawn(process.execPath, [...flags, CHILD, folder], { cwd: folder });
    this.#ended = once(this.#process, "close");
    this.#process.stdin.on("error", () => undefined);
    this.#process.stderr.on("data", (data: Buffer) => {
      this.#stderr = `${this.#stderr}${data}`.slice(-4_000);
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async run(job: Job): Promise<Answer | Death> {
    const { promise: stopped, stop } = this.#watch();
    try {
      this.#process.stdin.write(`${JSON.stringify(job)}\n`);
      const line = await Promise.race([this.#lines.next(), stopped]);
      if (typeof line === "string") return { index: this.#begun() - 1, problem: line };
      if (!line.done) return JSON.parse(line.value) as Answer;
      await this.#ended;
      return { index: this.#begun() - 1, problem: `ends the process: ${this.#lastWords()}` };
    } finally {
      stop();
    }
  }

  close(): void {
    this.#process.kill("SIGKILL");
  }

  /** Resolves with the reason when the child may not go on. */
  #watch(): { readonly promise: Promise<string>; readonly stop: () => void } {
    let since = { begun: this.#begun(), at: performance.now(), seconds: this.#cpuSeconds() };
    let timer: NodeJS.Timeout;
    const promise = new Promise<string>((resolve) => {
      timer = setInterval(() => {
        const now = { begun: this.#begun(), at: performance.now(), seconds: this.#cpuSeconds() };
        if (now.begun !== since.begun) since = now;
        else if (now.begun > 0 && now.seconds - since.seconds > LIMITS.seconds + WATCH_MS / 1_000)
          resolve(`does not end within ${LIMITS.seconds} s of processor time`);
        else if (now.at - since.at > LONGEST_MS) resolve(`does not end within ${LONGEST_MS / 1_000} s`);
        const bytes = this.#residentBytes();
        if (now.begun === 0) this.#restingBytes = bytes;
        // The child itself finds what it takes for one input; twice as much is what never comes to its end.
        else if (bytes > (this.#restingBytes ?? 100 * 1024 ** 2) + 2 * LIMITS.bytes)
          resolve(`takes more than ${LIMITS.bytes / 1024 ** 2} MiB of memory`);
      }, WATCH_MS);
    });
    return { promise, stop: () => clearInterval(timer) };
  }

  #begun(): number {
    const bytes = this.#read(join(this.#folder, PROGRESS));
    return bytes.length < 8 ? 0 : bytes.readDoubleLE();
  }

  /** 0 where the system does not say. */
  #cpuSeconds(): number {
    const fields = this.#read(`/proc/${this.#process.pid}/stat`)
      .toString("latin1")
      .split(") ")
      .at(-1)!
      .split(" ");
    return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100;
  }

  #residentBytes(): number {
    const [, pages = "0"] = this.#read(`/proc/${this.#process.pid}/statm`).toString("latin1").split(" ");
    return Number(pages) * 4096;
  }

  #read(path: string): Buffer {
    try {
      return readFileSync(path);
    } catch {
      return Buffer.alloc(0);
    }
  }

  #lastWords(): string {
    const { exitCode, signalCode } = this.#process;
    const said = this.#stderr.trim().split("\n").slice(0, 12).join("\n");
    return `${signalCode ?? `exit code ${exitCode}`}${said === "" ? "" : `\n${said}`}`;
  }
}
