import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import {
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerInterceptor,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Protection } from "../../proto/client.ts";
import { MAX_CALLS_OF_A_CONNECTION, MAX_MESSAGE_BYTES } from "../../proto/message-bounds.ts";
import { hostOf, isLocal } from "../../proto/tls/loopback.ts";
import { ListenError } from "./errors.ts";
import { type RefusedConnection, TlsGate } from "./tls-gate.ts";

export interface ListenOptions {
  /** Plain text only on an address of this machine. */
  readonly protection: Protection;
  readonly service: ServiceDefinition;
  readonly methods: UntypedServiceImplementation;
  /** See every call before it is read. */
  readonly interceptors?: ServerInterceptor[];
  /** Hears of connections that are refused before there is a call. */
  readonly onRefused?: (refused: RefusedConnection) => void;
}

export interface Listening {
  /** What clients dial, with the port that was free where 0 was asked for. */
  readonly address: string;
  /** Breaks off what still runs. */
  close(): void;
}

/**
 * Serves gRPC on `host:port` or `unix:path`, with certificates of both sides, or in plain text where nobody else reaches it.
 * @throws ListenError
 */
export async function listen(wanted: string, options: ListenOptions): Promise<Listening> {
  const { protection, service, methods, interceptors = [], onRefused = () => {} } = options;
  const host = requireListenable(wanted);
  if (protection === "plain" && !isLocal(wanted))
    throw new ListenError(
      wanted,
      "other machines reach this address, and in plain text anyone there could send results: it needs certificates",
    );
  const server = new Server({
    // A peer that hangs, or a path that is cut, shows within 15 s even where nothing else is sent.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_concurrent_streams": MAX_CALLS_OF_A_CONNECTION,
    interceptors,
  });
  // What the library would print comes back as an error, which says it better.
  setLogVerbosity(logVerbosity.NONE);
  server.addService(service, methods);
  if (protection === "plain") {
    const port = await listening(wanted, () => bindPlain(server, wanted));
    return { address: withPort(wanted, port), close: () => server.forceShutdown() };
  }
  const gate = new TlsGate(server, protection, onRefused);
  try {
    const port = await listening(wanted, async () => {
      if (host === undefined) return gate.listen({ path: wanted.slice("unix:".length) });
      const addresses = isIP(host)
        ? [host]
        : (await lookup(host, { all: true })).map(({ address }) => address);
      let port = Number(/\d+$/.exec(wanted)![0]);
      for (const address of addresses) port = await gate.listen({ host: address, port });
      return port;
    });
    const close = () => {
      gate.close();
      server.forceShutdown();
    };
    return { address: withPort(wanted, port), close };
  } catch (error) {
    gate.close();
    throw error;
  }
}

const bindPlain = (server: Server, wanted: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.bindAsync(wanted, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });

const withPort = (wanted: string, port: number): string =>
  wanted.startsWith("unix:") ? wanted : wanted.replace(/:\d+$/, `:${port}`);

/**
 * The host of an address that may be listened on; undefined for a unix socket.
 * @throws ListenError
 */
export function requireListenable(wanted: string): string | undefined {
  const host = hostOf(wanted);
  if (host === undefined && !wanted.startsWith("unix:")) throw new ListenError(wanted, "it is not host:port");
  return host;
}

/** Runs `start`; a system's error becomes a ListenError that says what is wrong with the address. */
export async function listening<T>(address: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    throw new ListenError(address, reasonOf(error as Error), { cause: error });
  }
}

function reasonOf(error: Error): string {
  if (/EADDRINUSE/.test(error.message)) return "the address is in use, perhaps by another coordinator";
  if (/EACCES/.test(error.message)) return "permission denied";
  if (/EADDRNOTAVAIL|ENOTFOUND/.test(error.message)) return "this machine does not have that address";
  return error.message;
}
