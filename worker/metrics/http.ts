import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

export interface HealthServerOptions {
  /** 0 takes a free port. */
  readonly port: number;
  readonly host?: string;
  readonly registry: Registry | (() => Registry);
  /** What this process is at the moment, for `/readyz`. */
  readonly role?: () => string;
  /** Why this process cannot take work now, or undefined: answered by `/readyz`. */
  readonly notReady?: () => string | undefined;
}

export interface HealthServer {
  /** `host:port` that it listens on. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * `/metrics` for Prometheus, `/healthz` (this process answers) and `/readyz` (it can take work, else 503 and the reason),
 * for the coordinator and the worker alike.
 * @throws the system's error where the port cannot be listened on.
 */
export async function startHealthServer({
  port,
  host = "127.0.0.1",
  registry,
  role,
  notReady = () => undefined,
}: HealthServerOptions): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const at = typeof registry === "function" ? registry() : registry;
    answer(request, response, { registry: at, role: role?.(), notReady }).catch((error: unknown) => {
      text(response, 500, `${error instanceof Error ? error.message : String(error)}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { address, port: bound, family } = server.address() as AddressInfo;
  return {
    address: family === "IPv6" ? `[${address}]:${bound}` : `${address}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  {
    registry,
    role,
    notReady,
  }: {
    readonly registry: Registry;
    readonly role: string | undefined;
    readonly notReady: () => string | undefined;
  },
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") return text(response, 405, "only GET\n");
  switch (new URL(request.url ?? "/", "http://localhost").pathname) {
    case "/metrics":
      return text(response, 200, await registry.metrics(), registry.contentType);
    case "/healthz":
      return text(response, 200, "ok\n");
    case "/readyz": {
      const reason = notReady();
      return reason === undefined
        ? text(response, 200, role === undefined ? "ready\n" : `ready: ${role}\n`)
        : text(response, 503, `${reason}\n`);
    }
    default:
      return text(response, 404, "there are /metrics, /healthz and /readyz\n");
  }
}

function text(
  response: ServerResponse,
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { "content-type": type }).end(body);
}
