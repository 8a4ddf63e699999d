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
  /** Hears of what a request failed of; its answer does not say it. */
  readonly onError?: (error: unknown) => void;
}

export interface HealthServer {
  /** `host:port` that it listens on. */
  readonly address: string;
  close(): Promise<void>;
}

/** Probes and Prometheus send a line and a few headers, at once. */
const LIMITS = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
};

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
  onError = () => undefined,
}: HealthServerOptions): Promise<HealthServer> {
  const registryNow = typeof registry === "function" ? registry : () => registry;
  const server = createServer(LIMITS, (request, response) => {
    answer(request, response, { registryNow, role, notReady }).catch((error: unknown) => {
      onError(error);
      // Whoever asks need not be known, and is told nothing of the inside.
      text(response, 500, "it cannot be had now; the log says why\n");
    });
  });
  server.maxConnections = 64;
  server.maxHeadersCount = 64;
  server.timeout = 30_000;
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
    registryNow,
    role,
    notReady,
  }: {
    readonly registryNow: () => Registry;
    readonly role: (() => string) | undefined;
    readonly notReady: () => string | undefined;
  },
): Promise<void> {
  const { method, url = "/", headers } = request;
  if (method !== "GET" && method !== "HEAD") return text(response, 405, "only GET\n");
  if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0) {
    response.setHeader("connection", "close");
    return text(response, 413, "a request has no body\n");
  }
  switch (url.split("?")[0]) {
    case "/metrics": {
      const registry = registryNow();
      return text(response, 200, await registry.metrics(), registry.contentType);
    }
    case "/healthz":
      return text(response, 200, "ok\n");
    case "/readyz": {
      const reason = notReady();
      return reason === undefined
        ? text(response, 200, role === undefined ? "ready\n" : `ready: ${role()}\n`)
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
  response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" }).end(body);
}
