import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { OnEnd } from "./on-end.ts";

/** A direction, or both: what goes to the server, and what comes from it. */
export interface Ways {
  readonly requests?: boolean;
  readonly answers?: boolean;
}

/** A TCP proxy on a free port, which loses or delays what it is told to. */
export interface TcpProxy {
  readonly port: number;
  /** Drops bytes without closing anything: the connection is of no use afterwards. */
  drop(what: Ways): void;
  /** Keeps bytes back until it is told otherwise: a partition as TCP sees it, which sends again what was lost. */
  hold(what: Ways): void;
  /** Bytes that were kept back so far. */
  readonly heldBytes: number;
  /** Bytes that were dropped so far. */
  readonly droppedBytes: number;
  /** Closes all connections; new ones are taken. */
  cut(): void;
  /** The same, once, when so many more bytes have come from the server, or gone to it. */
  cutAfter(what: { readonly requests?: number; readonly answers?: number }): void;
  /** Drops everything one way when so many more bytes have gone to the server: a partition in the middle. */
  dropAfter(what: { readonly requests: number }): void;
  /** How often it was cut. */
  readonly cuts: number;
}

/** Until the test ends, or until `onEnd` says. */
export async function startTcpProxy(
  to: { readonly host: string; readonly port: number },
  onEnd: OnEnd = onTestFinished,
): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let dropping: Ways = {};
  let holding: Ways = {};
  /** What is to be done, in order, when a way is open again. */
  const waiting: { readonly way: keyof Ways; readonly act: () => void }[] = [];
  let droppedBytes = 0;
  let heldBytes = 0;
  let cuts = 0;
  let untilDrop = Number.POSITIVE_INFINITY;
  const left = { requests: Number.POSITIVE_INFINITY, answers: Number.POSITIVE_INFINITY };
  const join = (from: Socket, into: Socket, way: keyof Ways) => {
    sockets.add(from);
    from.on("data", (data: Buffer) => {
      if (dropping[way]) {
        droppedBytes += data.length;
        return;
      }
      if (holding[way]) {
        heldBytes += data.length;
        waiting.push({ way, act: () => into.write(data) });
        return;
      }
      left[way] -= data.length;
      if (way === "requests") untilDrop -= data.length;
      if (untilDrop < 0) dropping = { requests: true };
      if (left[way] >= 0) {
        into.write(data);
        return;
      }
      left[way] = Number.POSITIVE_INFINITY;
      cuts++;
      cut();
    });
    from.on("error", () => {});
    from.on("close", () => {
      sockets.delete(from);
      // The end of a connection does not pass a partition either.
      if (holding[way]) waiting.push({ way, act: () => into.destroy() });
      else into.destroy();
    });
  };
  const server = createServer((client) => {
    const upstream = createConnection(to);
    join(client, upstream, "requests");
    join(upstream, client, "answers");
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onEnd(() => {
    server.close();
    holding = {};
    cut();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    drop(what) {
      dropping = what;
    },
    hold(what) {
      holding = what;
      for (const each of waiting.splice(0)) {
        if (holding[each.way]) waiting.push(each);
        else each.act();
      }
    },
    get heldBytes() {
      return heldBytes;
    },
    get droppedBytes() {
      return droppedBytes;
    },
    cut,
    dropAfter({ requests }) {
      untilDrop = requests;
    },
    cutAfter: (what) => void Object.assign(left, what),
    get cuts() {
      return cuts;
    },
  };
}
