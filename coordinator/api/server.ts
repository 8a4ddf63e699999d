import { isIPv6 } from "node:net";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { type Logger, pino } from "pino";
import { Registry } from "prom-client";
import type { Protection } from "../../proto/client.ts";
import { coordinatorService } from "../../proto/definition.ts";
import { type HealthServer, startHealthServer } from "../../worker/metrics/http.ts";
import { watchCertificates } from "../../worker/metrics/process-metrics.ts";
import { type Listening, listen, listening } from "../dispatch/listen.ts";
import { authenticator, roleOfClient } from "../http/authenticate.ts";
import type { TokenFile } from "../http/tokens.ts";
import type { UsersApi } from "../http/users-api.ts";
import { startUsersServer, type UsersServer } from "../http/users-server.ts";
import { guard } from "./guard.ts";
import { Refusals } from "./refusals.ts";

export interface ServerOptions {
  /** `host:port` (port 0 takes a free one) or `unix:path`. */
  readonly listen?: string | undefined;
  /** With certificates every caller needs one, and does what its role may do; in plain text it listens on this machine's own addresses alone, and takes all calls. */
  readonly protection: Protection;
  readonly metrics?: { readonly host?: string; readonly port: number } | undefined;
  /** Where users ask over HTTP, by a token or a certificate. */
  readonly http?: HttpOptions | undefined;
  readonly logger?: Logger;
}

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  /** Absent: certificates alone count. */
  readonly tokens?: TokenFile | undefined;
}

/** What a coordinator is at the moment, and how it answers then. */
export interface Role {
  /** For `/readyz`: "leader", "standby of 10.0.0.5:7070". */
  readonly name: string;
  /** Every call of the service. */
  readonly calls: UntypedServiceImplementation;
  readonly registry: Registry;
  /** What users are answered from over HTTP; or the address of the coordinator that leads, empty where nobody knows it. */
  readonly users: UsersApi | { readonly leader: string };
  /** Why it cannot take work now, or undefined. */
  notReady(): string | undefined;
}

/** What the outside dials, for as long as the process lives: gRPC, the users' HTTP, metrics and health, which answer as the role of the moment does. */
export class CoordinatorServer {
  /** What workers and clients dial. */
  readonly address: string;
  readonly #server: Listening;
  readonly #health: HealthServer | undefined;
  readonly #users: UsersServer | undefined;
  readonly #role: { current: Role };

  private constructor(parts: {
    readonly server: Listening;
    readonly health: HealthServer | undefined;
    readonly users: UsersServer | undefined;
    role: { current: Role };
  }) {
    this.address = parts.server.address;
    this.#server = parts.server;
    this.#health = parts.health;
    this.#users = parts.users;
    this.#role = parts.role;
  }

  /** @throws ListenError; nothing is left running then. */
  static async open(options: ServerOptions, first: Role): Promise<CoordinatorServer> {
    const role = { current: first };
    const names = Object.keys(coordinatorService);
    const methods = Object.fromEntries(
      names.map((name) => [name, (...call: unknown[]) => (role.current.calls[name] as Handler)(...call)]),
    ) as UntypedServiceImplementation;
    const { protection, metrics, http, logger = pino({ level: "silent" }) } = options;
    const registry = new Registry();
    const refusals = new Refusals(registry, logger);
    if (protection !== "plain") watchCertificates(registry, protection);
    const server = await listen(options.listen ?? "127.0.0.1:0", {
      protection,
      service: coordinatorService,
      methods,
      interceptors: protection === "plain" ? [] : [guard((refusal) => refusals.refused(refusal))],
      onRefused: (refused) => refusals.refused(refused),
    });
    let users: UsersServer | undefined;
    try {
      users =
        http &&
        (await listening(`${isIPv6(http.host) ? `[${http.host}]` : http.host}:${http.port}`, () =>
          startUsersServer({
            ...http,
            certificates: protection === "plain" ? undefined : protection,
            authenticate: authenticator({ tokens: http.tokens, roleOf: roleOfClient }),
            answering: () => role.current.users,
            registry,
            logger,
          }),
        ));
      const health =
        metrics &&
        (await listening(`${metrics.host ?? "127.0.0.1"}:${metrics.port}`, () =>
          startHealthServer({
            ...metrics,
            registry: () => Registry.merge([registry, role.current.registry]),
            role: () => role.current.name,
            notReady: () => role.current.notReady(),
            onError: (error) => logger.error({ err: error }, "a probe could not be answered"),
          }),
        ));
      return new CoordinatorServer({ server, health, users, role });
    } catch (error) {
      await users?.close();
      server.close();
      throw error;
    }
  }

  /** Where `/metrics`, `/healthz` and `/readyz` are. */
  get metricsAddress(): string | undefined {
    return this.#health?.address;
  }

  /** Where users ask over HTTP. */
  get httpAddress(): string | undefined {
    return this.#users?.address;
  }

  /** Answers as this role from the next call on. */
  become(role: Role): void {
    this.#role.current = role;
  }

  /** Breaks off what still runs. */
  async close(): Promise<void> {
    await this.#users?.close();
    await this.#health?.close();
    this.#server.close();
  }
}

type Handler = (...call: unknown[]) => unknown;
