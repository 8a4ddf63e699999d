import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

export interface Probes {
  readonly registry: Registry;
  /** Undefined while the process does what it is there for, else the reason why not. A live process may be not ready. */
  notReady(): string | undefined;
}

export interface ProbeServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Port or host in use, or not ours. */
export class ProbeServerError extends Error {
  override readonly name = "ProbeServerError";
}

/**
 * Serves `/metrics` (Prometheus text), `/healthz` (200 as long as the process answers) and `/readyz` (200, or 503 with
 * the reason). Port 0 takes a free one.
 *
 * @throws ProbeServerError where the address cannot be had.
 */
export async function startProbeServer(
  probes: Probes,
  { host = "127.0.0.1", port }: { readonly host?: string; readonly port: number },
): Promise<ProbeServer> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") return answer(response, 405, "GET only\n");
    const path = request.url?.split("?")[0];
    if (path === "/healthz") return answer(response, 200, "ok\n");
    if (path === "/readyz") {
      const reason = probes.notReady();
      return answer(response, reason === undefined ? 200 : 503, `${reason ?? "ready"}\n`);
    }
    if (path !== "/metrics") return answer(response, 404, "known paths: /metrics /healthz /readyz\n");
    probes.registry.metrics().then(
      (text) => answer(response, 200, text, probes.registry.contentType),
      (error: Error) => answer(response, 500, `${error.message}\n`),
    );
  });
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "the port is in use" : cause.message;
      reject(new ProbeServerError(`metrics on ${host}:${port}: ${why}`, { cause }));
    });
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8") {
  response.writeHead(status, { "content-type": type }).end(text);
}
