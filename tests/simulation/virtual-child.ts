/** An inference process that lets time pass and answers from `answers.ts`, one operation after the other. */
import type { Answer, ChildOutcome, FromChild, Run, ToChild } from "../../worker/child/messages.ts";
import type { Child } from "../../worker/supervisor/child-keeper.ts";
import type { ChildEvents } from "../../worker/supervisor/inference-child.ts";
import type { Process } from "./virtual-time.ts";

/** What a child is told about its operations by the simulation. */
export interface ChildScript {
  /** Milliseconds until it is ready. */
  startMs(): number;
  /** What comes of an operation, and after how long. */
  outcome(run: Run): {
    readonly ms: number;
    readonly end: ChildOutcome | "dies" | "kills the worker" | "hangs";
  };
  readonly ready: FromChild;
}

export class VirtualChild implements Child {
  readonly pid = 1;
  readonly #own: Process;
  readonly #parent: Process;
  readonly #events: ChildEvents;
  readonly #script: ChildScript;
  readonly #queue: Run[] = [];
  #runs = false;

  constructor(own: Process, parent: Process, events: ChildEvents, script: ChildScript) {
    this.#own = own;
    this.#parent = parent;
    this.#events = events;
    this.#script = script;
    parent.onDeath(() => own.kill());
    own.after(script.startMs(), () => this.#say(script.ready));
  }

  get isAlive(): boolean {
    return this.#own.isAlive;
  }

  /** Whether it is at an operation now. */
  get isBusy(): boolean {
    return this.#runs;
  }

  send(message: ToChild): void {
    this.#own.after(0, () => {
      if (message.kind === "run") this.#queue.push(...message.runs);
      else {
        // What runs is not skipped.
        const at = this.#queue.findIndex(({ ticket }) => ticket === message.ticket);
        if (at >= (this.#runs ? 1 : 0)) this.#queue.splice(at, 1);
      }
      this.#begin();
    });
  }

  rssBytes(): number {
    return 1;
  }

  async kill(): Promise<void> {
    if (!this.#own.isAlive) return;
    await this.#die(true, "killed by SIGKILL");
  }

  /** Of itself, or by somebody else's hand. */
  die(reason: string): void {
    if (this.#own.isAlive) void this.#die(false, reason);
  }

  #die(asked: boolean, reason: string): Promise<void> {
    this.#own.kill();
    return new Promise((resolve) => {
      this.#parent.after(1, () => {
        this.#events.exit({ asked, reason });
        resolve();
      });
    });
  }

  #begin(): void {
    const run = this.#queue[0];
    if (run === undefined || this.#runs) return;
    this.#runs = true;
    const { ms, end } = this.#script.outcome(run);
    this.#own.after(ms, () => {
      if (end === "hangs") return;
      if (end === "kills the worker") {
        this.#parent.kill();
        return;
      }
      if (end === "dies") {
        this.die("killed by SIGSEGV");
        return;
      }
      this.#queue.shift();
      this.#runs = false;
      this.#say({ kind: "finished", answers: [answer(run, end, ms)], rssBytes: 1 });
      this.#begin();
    });
  }

  #say(message: FromChild): void {
    this.#parent.after(0, () => this.#events.message(message));
  }
}

const answer = ({ ticket }: Run, outcome: ChildOutcome, ms: number): Answer => ({
  ticket,
  outcome,
  artifacts: [],
  forwards: 1,
  tokens: 1,
  seconds: ms / 1_000,
});
