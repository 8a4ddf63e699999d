/** A broker for results: at least once, in any order, and not for ever. What it has is on its way to whoever leads. */
import type { Publisher, PublisherOptions } from "../../worker/outbox/nats-publisher.ts";
import type { Random } from "./random.ts";
import type { Calendar, Process } from "./virtual-time.ts";

/** Who takes results now. */
export interface Consumer {
  readonly process: Process;
  receive(bytes: Uint8Array, workerId: string): void;
}

export interface BrokerOptions {
  readonly calendar: Calendar;
  readonly random: Random;
  readonly consumer: () => Consumer | undefined;
  readonly onFault: (name: string) => void;
}

/** A publisher that heard nothing for so long gives up. */
const PUBLISH_MS = 800;
/** A result that nobody acknowledged is delivered again. */
const ACK_MS = 1_500;

export class VirtualBroker {
  downUntil = 0;
  /** Shares of what is published whose acknowledgement is lost, or that is delivered twice. */
  lostAcks = 0;
  duplicates = 0;
  readonly #options: BrokerOptions;
  /** Counts deletions of the store: what was in it is gone. */
  #generation = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  get isUp(): boolean {
    return this.downUntil <= this.#options.calendar.now;
  }

  /** Its store is gone, with all results that were not delivered. */
  deleteStore(): void {
    this.#generation++;
  }

  publisher(process: Process, options: PublisherOptions): Publisher {
    const isUp = (): boolean => this.isUp;
    return {
      options,
      get isConnected() {
        return isUp();
      },
      publish: (_, envelope) => this.#publish(process, options.workerId, envelope),
      reconnect: () => undefined,
      close: async () => undefined,
    };
  }

  #publish(process: Process, workerId: string, envelope: Uint8Array): Promise<boolean> {
    const { calendar, random, onFault } = this.#options;
    return new Promise((resolve) => {
      calendar.after(random.int(1, 10), () => {
        if (!this.isUp) {
          process.after(PUBLISH_MS, () => resolve(false));
          return;
        }
        this.#deliver(workerId, envelope, this.#generation);
        if (random.chance(this.duplicates)) {
          onFault("result duplicated");
          this.#deliver(workerId, envelope, this.#generation);
        }
        const isLost = random.chance(this.lostAcks);
        if (isLost) onFault("broker's acknowledgement lost");
        process.after(isLost ? PUBLISH_MS : random.int(1, 10), () => resolve(!isLost));
      });
    });
  }

  #deliver(workerId: string, envelope: Uint8Array, generation: number): void {
    const { calendar, random, consumer } = this.#options;
    // Two results may overtake each other.
    calendar.after(random.int(1, 40), () => {
      if (generation !== this.#generation) return;
      const taker = this.isUp ? consumer() : undefined;
      if (taker === undefined) {
        calendar.after(ACK_MS, () => this.#deliver(workerId, envelope, generation));
        return;
      }
      let isTaken = false;
      calendar.at(
        calendar.now,
        () => {
          isTaken = true;
          taker.receive(envelope, workerId);
        },
        taker.process,
      );
      // Where its taker was paused for long, or died, it comes again.
      calendar.after(ACK_MS, () => {
        if (!isTaken && generation === this.#generation) this.#deliver(workerId, envelope, generation);
      });
    });
  }
}
