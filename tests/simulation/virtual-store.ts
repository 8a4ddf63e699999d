/** The durable log in memory, behind the real `SingleWriterLog`: terms and fences as the real media have them, and what can go wrong with a disk or a broker. */
import {
  FencedError,
  StoreClosedError,
  StoreFullError,
  StoreHeldError,
} from "../../coordinator/store/errors.ts";
import { decideLease, type Leader, type LeaseSeen } from "../../coordinator/store/leader-lease.ts";
import type { EncodedHistory, LogEntry, LogMedium } from "../../coordinator/store/log.ts";
import { sleep } from "../../worker/clock.ts";
import type { Random } from "./random.ts";
import type { Calendar, Process } from "./virtual-time.ts";

/**
 * `embedded`: one holder, until it dies, as with a SQLite file. `replicated`: a leader by lease, which standbys replace and the log's terms fence,
 * as with a JetStream stream.
 */
export type StoreKind = "embedded" | "replicated";

/** What befalls the next write. */
export type WriteFault =
  /** It is written, and its acknowledgement lost: a broker's client asks again, a file's learns nothing. */
  | "acknowledgement of a write lost"
  /** The disk fails, and nothing is written. */
  | "disk error before the write"
  /** The disk fails, after it was written. */
  | "disk error after the write";

/** A write that the log took, as it really happened. */
export interface Written {
  readonly at: number;
  readonly writer: string;
  /** Term of the writer, and the highest that was begun. */
  readonly term: number;
  readonly highestTerm: number;
  /** Sequence of its first record. */
  readonly first: number;
  readonly values: readonly string[];
}

export interface StoreOptions {
  readonly kind: StoreKind;
  readonly calendar: Calendar;
  readonly random: Random;
  readonly leaseMs: number;
  readonly onWrite: (written: Written) => void;
  readonly onFault: (name: string) => void;
  /** False: the planted bug of a log that takes any writer's records. */
  readonly fences: boolean;
}

/** How long a write asks again before it is known. */
const RETRY_MS = 250;

export class VirtualStore {
  readonly place = "the simulated log";
  readonly options: StoreOptions;
  term = 0;
  /** Sequence of the last record. */
  last = 0;
  fullUntil = 0;
  awayUntil = 0;
  readonly faults: WriteFault[] = [];
  #records: { readonly sequence: number; readonly text: string }[] = [];
  #snapshot: { readonly upTo: number; readonly text: string } | undefined;
  #holder: Process | undefined;
  #lease: { revision: number; leader: Leader | null } = { revision: 0, leader: null };
  readonly #done = new Set<string>();

  constructor(options: StoreOptions) {
    this.options = options;
  }

  /** Who leads, as a standby would say it; empty where it does not know. */
  get leaderAddress(): string {
    const { leader } = this.#lease;
    return leader ? `${leader.address}:1` : "";
  }

  /** Opens the log for a process: at once where it is embedded, when its turn to lead has come where it is replicated. @throws StoreHeldError */
  async open(process: Process): Promise<VirtualMedium> {
    if (this.options.kind === "replicated") return this.#lead(process);
    return this.ask(process, () => {
      if (this.#holder?.isAlive) throw new StoreHeldError(this.place, undefined);
      this.#holder = process;
      this.term++;
      return new VirtualMedium(this, process, this.term, this.last);
    });
  }

  /** Of the real lease it has the decision, and compare-and-set. */
  async #lead(process: Process): Promise<VirtualMedium> {
    const { leaseMs } = this.options;
    const me: Leader = { id: process.name, address: process.name, host: "simulated", pid: 1, since: "" };
    let seen: LeaseSeen | undefined;
    for (;;) {
      try {
        const look = await this.ask(process, () => ({ ...this.#lease }));
        const decision = decideLease(look, seen, { myId: me.id, nowMs: process.clock.now(), leaseMs });
        if (decision.kind === "wait") seen = decision.seen;
        else {
          const revision = await this.ask(process, () => this.#put(me, look.revision));
          const medium = revision === undefined ? undefined : await this.#beginTerm(process, me, revision);
          if (medium) return medium;
        }
      } catch {
        // It could not look: what it saw before counts for nothing.
        seen = undefined;
      }
      await sleep(process.clock, leaseMs / 14);
    }
  }

  #put(leader: Leader, expected: number): number | undefined {
    if (this.#lease.revision !== expected) return undefined;
    this.#lease = { revision: expected + 1, leader };
    return this.#lease.revision;
  }

  async #beginTerm(process: Process, me: Leader, held: number): Promise<VirtualMedium | undefined> {
    for (;;) {
      const { term, last } = await this.ask(process, () => ({ term: this.term, last: this.last }));
      const revision = await this.ask(process, () => this.#put(me, held));
      if (revision === undefined) return undefined;
      held = revision;
      const isMine = await this.ask(process, () => {
        if (this.term !== term || this.last !== last) return false;
        this.term = term + 1;
        return true;
      });
      if (!isMine) continue;
      const medium = new VirtualMedium(this, process, term + 1, last);
      void this.#keep(process, me, revision, medium);
      return medium;
    }
  }

  /** Renews the lease until somebody else has it. */
  async #keep(process: Process, me: Leader, held: number, medium: VirtualMedium): Promise<void> {
    let revision = held;
    while (!medium.isClosed) {
      await sleep(process.clock, this.options.leaseMs / 7);
      try {
        const renewed = await this.ask(process, () => this.#put(me, revision));
        if (renewed === undefined) return medium.lose();
        revision = renewed;
      } catch {
        // That says nothing about who has it.
      }
    }
    if (this.#lease.revision === revision) this.#lease = { revision: revision + 1, leader: null };
  }

  /** What a process asks of the store, over the wire; it is done there also where the process dies meanwhile. */
  ask<T>(process: Process, act: () => T): Promise<T> {
    const { calendar, random } = this.options;
    return new Promise((resolve, reject) => {
      calendar.after(random.int(1, 4), () => {
        let answer: () => void;
        if (this.awayUntil > calendar.now) answer = () => reject(new Error("the server is away"));
        else {
          try {
            const result = act();
            answer = () => resolve(result);
          } catch (error) {
            answer = () => reject(error as Error);
          }
        }
        process.after(random.int(1, 4), answer);
      });
    });
  }

  /** Takes records, all or none. `id` names the write, so that asking again is harmless. */
  write(medium: VirtualMedium, id: string, last: number, values: readonly string[]): void {
    const { calendar, onWrite, fences } = this.options;
    if (this.#done.has(id)) return;
    if (fences) this.#assertNext(medium, last);
    if (this.fullUntil > calendar.now) throw new StoreFullError(this.place, "there is no room");
    this.#done.add(id);
    const first = this.last + 1;
    for (const text of values) this.#records.push({ sequence: ++this.last, text });
    const { term, process } = medium;
    onWrite({ at: calendar.now, writer: process.name, term, highestTerm: this.term, first, values });
  }

  snapshot(medium: VirtualMedium, last: number, text: string): void {
    if (this.options.fences) this.#assertNext(medium, last);
    if (this.fullUntil > this.options.calendar.now) throw new StoreFullError(this.place, "there is no room");
    this.#snapshot = { upTo: last, text };
    this.#records = this.#records.filter(({ sequence }) => sequence > last);
  }

  entries(last: number): LogEntry[] {
    const snapshot = this.#snapshot;
    return [
      ...(snapshot
        ? [{ kind: "snapshot", upTo: snapshot.upTo, value: JSON.parse(snapshot.text) } as const]
        : []),
      ...this.#records
        .filter(({ sequence }) => sequence <= last)
        .map(({ sequence, text }) => ({ kind: "record", sequence, value: JSON.parse(text) }) as const),
    ];
  }

  release(process: Process): void {
    if (this.#holder === process) this.#holder = undefined;
  }

  #assertNext(medium: VirtualMedium, last: number): void {
    if (this.term !== medium.term || this.last !== last) throw new FencedError(this.place, medium.term);
  }
}

/** The store as one writer has it. */
export class VirtualMedium implements LogMedium {
  readonly place: string;
  readonly term: number;
  readonly last: number;
  readonly lost: Promise<void>;
  readonly process: Process;
  isClosed = false;
  readonly #store: VirtualStore;
  #resolveLost!: () => void;
  #count = 0;
  #interrupted: ((error: Error) => void)[] = [];

  constructor(store: VirtualStore, process: Process, term: number, last: number) {
    this.place = store.place;
    this.#store = store;
    this.process = process;
    this.term = term;
    this.last = last;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
  }

  lose(): void {
    this.#resolveLost();
  }

  async append(last: number, values: readonly string[]): Promise<void> {
    const id = `${this.process.name} ${this.term} ${++this.#count}`;
    const fault = this.#store.faults.shift();
    await this.#write(fault, () => this.#store.write(this, id, last, values));
  }

  async snapshot(last: number, value: string): Promise<void> {
    await this.#write(undefined, () => this.#store.snapshot(this, last, value));
  }

  adopt(_: EncodedHistory): Promise<void> {
    throw new Error("a simulated log adopts none");
  }

  async *read(last: number): AsyncGenerator<LogEntry, void, void> {
    const entries = await this.#untilThere(() => this.#store.entries(last));
    yield* entries;
  }

  interrupt(): void {
    this.isClosed = true;
    for (const reject of this.#interrupted.splice(0)) reject(new StoreClosedError(this.place));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.#store.release(this.process);
  }

  async #write(fault: WriteFault | undefined, act: () => void): Promise<void> {
    const { kind, onFault } = this.#store.options;
    if (fault !== undefined) onFault(fault);
    if (fault === "disk error before the write") {
      await sleep(this.process.clock, 5);
      throw new Error("the disk failed");
    }
    await this.#untilThere(act);
    if (fault === undefined) return;
    if (fault === "disk error after the write" || kind === "embedded") throw new Error("the disk failed");
    await sleep(this.process.clock, RETRY_MS);
    await this.#untilThere(act);
  }

  /** While the server is away, it is asked again and again; a file is never away. */
  async #untilThere<T>(act: () => T): Promise<T> {
    for (;;) {
      if (this.isClosed) throw new StoreClosedError(this.place);
      try {
        return await this.#store.ask(this.process, act);
      } catch (error) {
        if (!(error as Error).message.includes("away")) throw error;
        await this.#sleepUnlessInterrupted(RETRY_MS);
      }
    }
  }

  #sleepUnlessInterrupted(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#interrupted.push(reject);
      this.process.after(ms, resolve);
    });
  }
}
