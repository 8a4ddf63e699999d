import { constants } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import type { SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { Certificates } from "../../proto/tls/certificates.ts";
import { type Authenticator, HttpRefusal } from "./authenticate.ts";
import { HttpOutcomes, type Outcome } from "./http-outcomes.ts";
import { type Rate, RateLimit } from "./rate-limit.ts";
import { openResultFile } from "./result-file.ts";
import { type Route, routeOf } from "./routes.ts";
import { answerOf, type UsersApi } from "./users-api.ts";

/** Bounds on what one address, one user and all of them together may take. */
export interface HttpLimits {
  /** All that comes from one address. */
  readonly perAddress: Rate;
  /** All that comes in one name. */
  readonly perPrincipal: Rate;
  readonly connections: number;
  /** Of a request's line and headers. */
  readonly headerBytes: number;
  readonly headersMs: number;
  /** Until a request has come whole, and while its client takes nothing of the answer. */
  readonly idleMs: number;
}

const HTTP_LIMITS: HttpLimits = {
  perAddress: { burst: 200, perSecond: 50 },
  perPrincipal: { burst: 100, perSecond: 20 },
  connections: 256,
  headerBytes: 8 * 1024,
  headersMs: 10_000,
  idleMs: 30_000,
};

export interface UsersServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Absent: plain text, for this machine's own addresses. */
  readonly certificates?: Certificates | undefined;
  readonly authenticate: Authenticator;
  /** Who answers at the moment; or, where this coordinator stands by, the address of the one that leads, empty where nobody knows it. */
  readonly answering: () => UsersApi | { readonly leader: string };
  readonly registry: Registry;
  readonly logger: Pick<Logger, "warn" | "error">;
  readonly limits?: Partial<HttpLimits>;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

export interface UsersServer {
  /** `host:port` that it listens on. */
  readonly address: string;
  close(): Promise<void>;
}

/** Sent with every answer: nothing of it is to be run, framed, guessed at, kept, or named to others. */
const HEADERS = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
} as const;
const HSTS = { "strict-transport-security": "max-age=31536000" } as const;

/**
 * What users ask over HTTP: a JSON API that only reads. Who asks is authenticated before anything is looked up, and nobody may ask more often, or more slowly, than the limits say.
 * @throws the system's error where the address cannot be listened on.
 */
export async function startUsersServer(options: UsersServerOptions): Promise<UsersServer> {
  const { certificates, host, port } = options;
  const limits = { ...HTTP_LIMITS, ...options.limits };
  const desk = new Desk({ ...options, limits });
  const settings = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.idleMs,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: Math.min(5_000, limits.headersMs),
    // Node would answer by itself, uncounted and without our headers; no name is asked for here.
    requireHostHeader: false,
  };
  const server: Server = certificates
    ? createTlsServer(
        {
          ...settings,
          ...secured(certificates.current.options),
          handshakeTimeout: limits.headersMs,
          // A client may show a certificate, or send a token.
          requestCert: true,
          rejectUnauthorized: false,
        },
        desk.take,
      )
        // A word to who has not shaken hands waits for ever, and Node leaves the connection open.
        .on("tlsClientError", (_, socket) => socket.destroy())
    : createServer(settings, desk.take);
  server.maxConnections = limits.connections;
  server.maxHeadersCount = 64;
  server.timeout = limits.idleMs;
  server.on("checkExpectation", desk.take);
  server.on("clientError", desk.refuseBroken);
  server.on("drop", desk.refuseConnection);
  const forget = certificates?.subscribe(({ options: renewed }) =>
    (server as Server & { setSecureContext(options: SecureContextOptions): void }).setSecureContext(
      secured(renewed),
    ),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      // A connection that could not be taken ends none but itself.
      server.on("error", (error) => options.logger.warn({ err: error }, "an HTTP connection was not taken"));
      resolve();
    });
  });
  const bound = server.address() as AddressInfo;
  return {
    address: `${bound.family === "IPv6" ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        forget?.();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A connection that goes on where an earlier one was would show no certificate, and not be asked whether its CA is still believed. */
const secured = (options: SecureContextOptions): SecureContextOptions => ({
  ...options,
  secureOptions: constants.SSL_OP_NO_TICKET,
});

/** Takes requests: who asks, how often, for what; and answers. */
class Desk {
  readonly #options: UsersServerOptions;
  readonly #outcomes: HttpOutcomes;
  readonly #addresses: RateLimit;
  readonly #principals: RateLimit;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(options: UsersServerOptions & { readonly limits: HttpLimits }) {
    const { limits, registry, logger, certificates, now = () => performance.now() } = options;
    this.#options = options;
    this.#outcomes = new HttpOutcomes(registry, logger, now);
    this.#addresses = new RateLimit(limits.perAddress, now);
    this.#principals = new RateLimit(limits.perPrincipal, now);
    this.#headers = { ...HEADERS, ...(certificates && HSTS) };
  }

  readonly take = (request: IncomingMessage, response: ServerResponse): void => {
    this.#answer(request, response).catch((error: unknown) => {
      if (error instanceof HttpRefusal) return this.#refuse(request, response, error);
      const isUnknown = (error as Error).name === "UnknownNameError";
      if (isUnknown) return this.#send(response, "not_found", 404, { error: (error as Error).message });
      // What went wrong is the log's business, not the client's.
      this.#options.logger.error({ err: error }, "an HTTP request failed");
      if (response.headersSent) response.destroy();
      this.#send(response, "failed", 500, { error: "the coordinator could not answer; its log says why" });
    });
  };

  /** A handshake that failed, or a request that is no HTTP, too large, or did not come in time: Node has not parsed it. */
  readonly refuseBroken = (error: NodeJS.ErrnoException, socket: Socket): void => {
    const [outcome, line] = BROKEN[error.code ?? ""] ?? (["malformed", "400 Bad Request"] as const);
    this.#outcomes.refused(outcome, peerOf(socket), error.code ?? error.message);
    if (!socket.writable) return void socket.destroy();
    const head = { ...this.#headers, "content-length": "0", connection: "close" };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}`);
    socket.end([`HTTP/1.1 ${line}`, ...lines, "", ""].join("\r\n"), () => socket.destroy());
  };

  readonly refuseConnection = (dropped: { readonly remoteAddress?: string } | undefined): void =>
    this.#outcomes.refused("too_many", dropped?.remoteAddress ?? "", "no more connections are held");

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = "", headers, socket } = request;
    inTurn(this.#addresses, peerOf(socket), "this address asks too often");
    if (method !== "GET" && method !== "HEAD")
      throw new HttpRefusal("wrong_method", 405, "only GET and HEAD", { allow: "GET, HEAD" });
    if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0)
      throw new HttpRefusal("too_large", 413, "a request has no body", { connection: "close" });
    const principal = this.#options.authenticate(request);
    inTurn(this.#principals, principal.name, "this user asks too often");
    const route = routeOf(url);
    if (route === undefined)
      return this.#send(response, "not_found", 404, {
        error: "there is no such thing; docs/http.md has what there is",
      });
    const api = this.#options.answering();
    if ("leader" in api) return this.#sendOn(response, api.leader);
    if (route.kind === "file") return this.#sendFile(request, response, route, api.resultsFolder);
    this.#send(response, "answered", 200, answerOf(route, api));
  }

  #refuse(request: IncomingMessage, response: ServerResponse, refusal: HttpRefusal): void {
    const { outcome, status, message, headers } = refusal;
    this.#outcomes.refused(outcome, peerOf(request.socket), message);
    this.#write(response, status, { error: message }, headers);
  }

  #sendOn(response: ServerResponse, leader: string): void {
    const error = `this coordinator stands by: ${leader === "" ? "nobody is known to lead" : `${leader} leads`}`;
    this.#outcomes.count("standby");
    this.#write(response, 503, { error, leader: leader === "" ? null : leader }, { "retry-after": "5" });
  }

  async #sendFile(
    { method }: IncomingMessage,
    response: ServerResponse,
    route: Extract<Route, { readonly kind: "file" }>,
    root: string,
  ): Promise<void> {
    const opened = await openResultFile(root, route);
    if (opened === undefined)
      return this.#send(response, "not_found", 404, {
        error: `${route.sweep}/${route.job} has no ${route.file}`,
      });
    const { handle, bytes } = opened;
    try {
      const type = route.file.endsWith(".jsonl") ? "application/jsonl" : "application/json";
      response.writeHead(200, {
        ...this.#headers,
        "content-type": `${type}; charset=utf-8`,
        "content-length": bytes,
        "content-disposition": `attachment; filename="${route.sweep}-${route.job}-${route.file}"`,
      });
      this.#outcomes.count("answered");
      if (method === "HEAD" || bytes === 0) response.end();
      // One that grows meanwhile is cut where it ended when it was asked for.
      else await pipeline(handle.createReadStream({ end: bytes - 1, autoClose: false }), response);
    } catch (error) {
      // A client that left, or took nothing for too long.
      if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
    } finally {
      await handle.close();
    }
  }

  #send(response: ServerResponse, outcome: Outcome, status: number, body: unknown): void {
    this.#outcomes.count(outcome);
    this.#write(response, status, body);
  }

  #write(
    response: ServerResponse,
    status: number,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    if (response.headersSent || response.destroyed) return;
    const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
    response
      .writeHead(status, {
        ...this.#headers,
        "content-type": "application/json; charset=utf-8",
        "content-length": bytes.length,
        ...headers,
      })
      .end(bytes);
  }
}

/** @throws HttpRefusal */
function inTurn(limit: RateLimit, caller: string, problem: string): void {
  const seconds = limit.take(caller);
  if (seconds > 0)
    throw new HttpRefusal("rate_limited", 429, `${problem}: again in ${seconds} s`, {
      "retry-after": String(seconds),
    });
}

const peerOf = ({ remoteAddress }: Socket): string => remoteAddress ?? "";

/** By Node's name for what is wrong. */
const BROKEN: Readonly<Record<string, readonly [Outcome, string]>> = {
  HPE_HEADER_OVERFLOW: ["too_large", "431 Request Header Fields Too Large"],
  ERR_HTTP_REQUEST_TIMEOUT: ["too_slow", "408 Request Timeout"],
  ERR_TLS_HANDSHAKE_TIMEOUT: ["too_slow", "408 Request Timeout"],
};
