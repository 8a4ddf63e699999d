import {
  logVerbosity,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { MAX_CALLS_OF_A_CONNECTION, MAX_MESSAGE_BYTES } from "../../proto/message-bounds.ts";
import { ListenError } from "./errors.ts";

/**
 * Serves gRPC on `host:port` or `unix:path`, and answers the address that clients dial (with the port that was free where
 * 0 was asked for). Without encryption only this machine's own addresses are used, unless `insecure` allows others.
 * @throws ListenError
 */
export async function listen(
  wanted: string,
  {
    insecure,
    service,
    methods,
  }: {
    readonly insecure: boolean;
    readonly service: ServiceDefinition;
    readonly methods: UntypedServiceImplementation;
  },
): Promise<{ readonly address: string; readonly server: Server }> {
  const host = requireListenable(wanted, { insecure });
  const server = new Server({
    // A peer that hangs, or a path that is cut, shows within 15 s even where nothing else is sent.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_concurrent_streams": MAX_CALLS_OF_A_CONNECTION,
  });
  // What the library would print comes back as an error, which says it better.
  setLogVerbosity(logVerbosity.NONE);
  server.addService(service, methods);
  const port = await listening(
    wanted,
    () =>
      new Promise<number>((resolve, reject) => {
        server.bindAsync(wanted, ServerCredentials.createInsecure(), (error, bound) => {
          if (error) reject(error);
          else resolve(bound);
        });
      }),
  );
  return { address: host === undefined ? wanted : wanted.replace(/:\d+$/, `:${port}`), server };
}

/**
 * The host of an address that may be listened on; undefined for a unix socket.
 * @throws ListenError
 */
export function requireListenable(
  wanted: string,
  { insecure }: { readonly insecure: boolean },
): string | undefined {
  const host = hostOf(wanted);
  if (!insecure && host !== undefined && !isLoopback(host)) {
    throw new ListenError(
      wanted,
      "anyone who reaches this address could send results; listen on 127.0.0.1, or allow it with --insecure",
    );
  }
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

/** The host of `host:port`; undefined for a unix socket. */
function hostOf(address: string): string | undefined {
  if (address.startsWith("unix:")) return undefined;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  if (!match || Number(match[3]) > 65_535) throw new ListenError(address, "it is not host:port");
  return match[1] ?? match[2];
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function reasonOf(error: Error): string {
  if (/EADDRINUSE/.test(error.message)) return "the address is in use, perhaps by another coordinator";
  if (/EACCES/.test(error.message)) return "permission denied";
  if (/EADDRNOTAVAIL|ENOTFOUND/.test(error.message)) return "this machine does not have that address";
  return error.message;
}
