import type { Answer, ChildOptions, FromChild, ReadyDevice, ToChild } from "../child/messages.ts";
import { type Clock, sleep } from "../clock.ts";
import type { Provider } from "../device-names.ts";
import type { ChildEvents, InferenceChild } from "./inference-child.ts";

export interface KeeperEvents {
  /** A child takes operations. */
  ready(device: ReadyDevice): void;
  finished(answers: readonly Answer[]): void;
  /** The child did a part of a long operation. */
  partDone(): void;
  /** The child is gone with all it had; the next one is on its way. `asked`: by `replace`. */
  gone(end: { readonly asked: boolean; readonly reason: string }): void;
  /** No child can be had. */
  gaveUp(reason: string): void;
  line(text: string): void;
}

/** An inference process as its keeper sees it. */
export type Child = Pick<InferenceChild, "pid" | "send" | "kill" | "rssBytes">;

/** Starts one, from a compiled module. */
export type StartChild = (entry: string, options: ChildOptions, events: ChildEvents) => Child;

/** Starts in a row that may fail. */
const MAX_FAILED_STARTS = 5;
const backOffMs = (failures: number): number => Math.min(10_000, 100 * 2 ** failures);

/** Keeps one inference child alive: the next one is started when one dies, after a pause that grows with each death. */
export class ChildKeeper {
  readonly #entry: string;
  #options: ChildOptions;
  readonly #events: KeeperEvents;
  readonly #startChild: StartChild;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #child: Child | undefined;
  #ready = false;
  #everReady = false;
  #failedStarts = 0;
  /** Deaths since the last finished operation. */
  #deaths = 0;
  #unusable: string | undefined;
  #lastRssBytes = 0;

  constructor(
    entry: string,
    options: ChildOptions,
    events: KeeperEvents,
    machine: { readonly startChild: StartChild; readonly clock: Clock },
  ) {
    this.#entry = entry;
    this.#options = options;
    this.#events = events;
    this.#startChild = machine.startChild;
    this.#clock = machine.clock;
    this.#start();
  }

  get isReady(): boolean {
    return this.#ready;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resident memory of the child in bytes: as the system says, else as the child said last. */
  rssBytes(): number {
    return this.#child?.rssBytes() ?? this.#lastRssBytes;
  }

  send(message: ToChild): void {
    this.#child?.send(message);
  }

  /** Kills the child, whatever it does. `gone` follows, then the next child's `ready`. */
  async replace(): Promise<void> {
    this.#ready = false;
    await this.#child?.kill();
  }

  /** Kills the child for good. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.replace();
  }

  #start(): void {
    this.#unusable = undefined;
    const child = this.#startChild(this.#entry, this.#options, {
      // What comes from one that is gone already may name files that were removed.
      message: (message) => {
        if (this.#child === child) this.#onMessage(message);
      },
      exit: (end) => void this.#onExit(end),
      line: this.#events.line,
    });
    this.#child = child;
  }

  #onMessage(message: FromChild): void {
    switch (message.kind) {
      case "ready":
        this.#ready = true;
        this.#everReady = true;
        this.#failedStarts = 0;
        // What the first child found holds for the worker's life: the coordinator knows it by this device and these forms.
        this.#options = {
          ...this.#options,
          ...(this.#options.device === "auto"
            ? { device: message.device.deviceClass.provider as Provider }
            : {}),
          found: message.device,
        };
        this.#events.ready(message.device);
        break;
      case "unusable":
        this.#unusable = message.message;
        break;
      case "part-done":
        this.#events.partDone();
        break;
      case "finished":
        this.#deaths = 0;
        this.#lastRssBytes = message.rssBytes;
        this.#events.finished(message.answers);
    }
  }

  async #onExit(end: { readonly asked: boolean; readonly reason: string }): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const started = this.#ready || end.asked;
    this.#ready = false;
    this.#child = undefined;
    if (!started) this.#failedStarts++;
    if (!end.asked) this.#deaths++;
    const reason = this.#unusable ?? end.reason;
    this.#events.gone({ asked: end.asked, reason });
    const hopeless = this.#unusable !== undefined && !this.#everReady;
    if (hopeless || this.#failedStarts >= MAX_FAILED_STARTS) {
      this.#events.gaveUp(reason);
      return;
    }
    if (!end.asked) await sleep(this.#clock, backOffMs(this.#deaths), this.#stopped.signal).catch(() => {});
    if (!this.#stopped.signal.aborted) this.#start();
  }
}
