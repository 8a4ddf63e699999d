import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A TCP proxy on a free port, which loses what it is told to lose. */
export interface TcpProxy {
  readonly port: number;
  /** Drop what goes to the server, or comes from it, without closing anything: a partition. */
  drop(what: { readonly requests?: boolean; readonly answers?: boolean }): void;
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

/** Until the test ends. */
export async function startTcpProxy(to: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let dropping: { readonly requests?: boolean; readonly answers?: boolean } = {};
  let droppedBytes = 0;
  let cuts = 0;
  let untilDrop = Number.POSITIVE_INFINITY;
  const left = { requests: Number.POSITIVE_INFINITY, answers: Number.POSITIVE_INFINITY };
  const join = (from: Socket, into: Socket, way: "requests" | "answers") => {
    sockets.add(from);
    from.on("data", (data: Buffer) => {
      if (dropping[way]) {
        droppedBytes += data.length;
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
      into.destroy();
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
  onTestFinished(() => {
    server.close();
    cut();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    drop(what) {
      dropping = what;
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
