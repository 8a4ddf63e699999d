/** Time that passes when nothing more happens at a moment, and processes that live in it. */
import type { Clock } from "../../worker/clock.ts";
import type { Random } from "./random.ts";

interface Appointment {
  readonly at: number;
  readonly order: number;
  readonly process: Process | undefined;
  readonly action: () => void;
  isOff: boolean;
}

/** What is due, in the order of its time, and of its making at one time. */
export class Calendar {
  now = 0;
  readonly #heap: Appointment[] = [];
  #order = 0;

  /** Of nobody's, or of a process: then it waits while that is paused, and lapses when that is dead. Gives back what cancels it. */
  at(at: number, action: () => void, process?: Process): () => void {
    const appointment = { at: Math.max(at, this.now), order: ++this.#order, process, action, isOff: false };
    this.#push(appointment);
    return () => {
      appointment.isOff = true;
    };
  }

  after(ms: number, action: () => void): () => void {
    return this.at(this.now + ms, action);
  }

  /** Lets the next thing happen, and everything that follows from it at once. False where nothing is due before `until`. */
  async step(until: number): Promise<boolean> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) return false;
      this.#pop();
      if (next.isOff || next.process?.isAlive === false) continue;
      this.now = next.at;
      const wakes = next.process?.pausedUntil ?? 0;
      if (wakes > this.now) {
        this.#push(deferred(next, wakes, ++this.#order));
        continue;
      }
      next.isOff = true;
      next.action();
      await settled();
      return true;
    }
  }

  #push(appointment: Appointment): void {
    const heap = this.#heap;
    let place = heap.push(appointment) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (isBefore(heap[parent]!, appointment)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = appointment;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
  }
}

const isBefore = (a: Appointment, b: Appointment): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order);

/** The same appointment at a later time: whoever could cancel it still can. */
function deferred(appointment: Appointment, at: number, order: number): Appointment {
  return {
    at,
    order,
    process: appointment.process,
    action: appointment.action,
    get isOff() {
      return appointment.isOff;
    },
    set isOff(isOff: boolean) {
      appointment.isOff = isOff;
    },
  };
}

/**
 * Promises that can go on have done so when the event loop comes round, and what they put off to its next turn (a stream writes once per turn)
 * when it has come round twice.
 */
async function settled(): Promise<void> {
  await turn();
  await turn();
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A process of the operating system, as far as time is concerned. Once dead it does nothing: its promises never go on. */
export class Process {
  readonly name: string;
  readonly clock: Clock;
  isAlive = true;
  pausedUntil = 0;
  readonly #calendar: Calendar;
  readonly #onDeath: (() => void)[] = [];

  constructor(name: string, calendar: Calendar, random: Random) {
    this.name = name;
    this.#calendar = calendar;
    this.clock = {
      now: () => calendar.now,
      after: (ms, action) => this.after(ms, action),
      every: (ms, action) => this.#every(ms, action),
      random: () => random.number(),
    };
  }

  after(ms: number, action: () => void): () => void {
    return this.#calendar.at(this.#calendar.now + ms, action, this);
  }

  /** It does nothing for a while, but everything waits for it. */
  pause(ms: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.#calendar.now + ms);
  }

  get isPaused(): boolean {
    return this.pausedUntil > this.#calendar.now;
  }

  kill(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    for (const act of this.#onDeath) act();
  }

  onDeath(act: () => void): void {
    this.#onDeath.push(act);
  }

  #every(ms: number, action: () => void): () => void {
    let isOver = false;
    const next = (): void => {
      this.after(ms, () => {
        if (isOver) return;
        action();
        next();
      });
    };
    next();
    return () => {
      isOver = true;
    };
  }
}
