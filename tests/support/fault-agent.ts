import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Digest, OperationKind } from "../../proto/operations.ts";
import type { WorkerOptions } from "../../worker/options.ts";
import type { OnEnd } from "./on-end.ts";

/** An operation that an inference child is about to compute. */
export interface Asked {
  readonly worker: string;
  /** Of the inference child. */
  readonly pid: number;
  readonly kind: OperationKind;
  readonly checkpoint: Digest;
  /** Of a tile, else null. */
  readonly sample: number | null;
}

/** What the child does then. */
export type Order =
  | { readonly order: "go" /** Takes so many times as long as it would. */; readonly times?: number }
  /** Computes, and answers something else; see `spoilers` and `withOtherState` in `agent-child.mjs`. */
  | { readonly order: "go"; readonly spoil: "nan" | "bit" | "lie" | "short" | "other" | "state" }
  | { readonly order: "die" | "exhaust-memory" };

export type Rule = (asked: Asked) => Order | Promise<Order> | undefined;

/** Operations that wait until they are let go. */
export interface Held {
  /** All that waits, or waited. */
  readonly asked: readonly Asked[];
  /** Resolves with the first one that waits, on any worker or on this one. */
  first(worker?: string): Promise<Asked>;
  /** Lets all go on, and stops holding; the operation of a child may get an order of its own. */
  release(order?: Order, byPid?: Readonly<Record<number, Order>>): void;
}

const GO: Order = { order: "go" };

/** Tells the inference children of a test what to do, operation by operation: so faults come in the middle of a step, at the operation that the test names. */
export class FaultAgent {
  /** Every operation that was begun so far, in order. */
  readonly begun: Asked[] = [];
  /** The first one that has an order for an operation counts. */
  readonly rules = new Set<Rule>();
  readonly #port: number;

  static async start(onEnd: OnEnd): Promise<FaultAgent> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
      const questions = createInterface({ input: socket });
      // A child that was killed; readline repeats its socket's errors.
      questions.on("error", () => {});
      questions.on("line", (line) => {
        void agent.#orderFor(JSON.parse(line) as Asked).then((order) => {
          if (socket.writable) socket.write(`${JSON.stringify(order)}\n`);
        });
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onEnd(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const agent = new FaultAgent(address.port);
    return agent;
  }

  private constructor(port: number) {
    this.#port = port;
  }

  /** Options of a worker whose inference children ask this agent. */
  optionsFor(id: string): Pick<WorkerOptions, "childEntry" | "engineOptions"> {
    const childEntry = fileURLToPath(new URL("./agent-child.mjs", import.meta.url));
    return { childEntry, engineOptions: { agent: this.#port, worker: id } };
  }

  /** Follows a rule until the function that it gives back is called. */
  follow(rule: Rule): () => void {
    this.rules.add(rule);
    return () => void this.rules.delete(rule);
  }

  /** Holds operations that match, from now on. */
  hold(matches: (asked: Asked) => boolean): Held {
    const asked: Asked[] = [];
    const wakers = new Set<() => void>();
    let letGo: (orderFor: (asked: Asked) => Order) => void = () => {};
    const released = new Promise<(asked: Asked) => Order>((resolve) => {
      letGo = resolve;
    });
    const stop = this.follow((each) => {
      if (!matches(each)) return undefined;
      asked.push(each);
      for (const wake of wakers) wake();
      return released.then((orderFor) => orderFor(each));
    });
    return {
      asked,
      first: async (worker) => {
        for (;;) {
          const found = asked.find((each) => (worker ?? each.worker) === each.worker);
          if (found !== undefined) return found;
          await new Promise<void>((wake) => {
            wakers.add(wake);
          });
        }
      },
      release(order = GO, byPid = {}) {
        stop();
        letGo(({ pid }) => byPid[pid] ?? order);
      },
    };
  }

  async #orderFor(asked: Asked): Promise<Order> {
    this.begun.push(asked);
    for (const rule of this.rules) {
      const order = rule(asked);
      if (order !== undefined) return order;
    }
    return GO;
  }
}
