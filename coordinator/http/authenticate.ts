import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { identityOf } from "../../proto/tls/identity.ts";
import type { Outcome } from "./http-outcomes.ts";
import { type Principal, type TokenFile, USER_ROLES } from "./tokens.ts";

/** A request that is not answered, with its status. */
export class HttpRefusal extends Error {
  override readonly name = "HttpRefusal";
  readonly outcome: Outcome;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    outcome: Outcome,
    status: number,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.outcome = outcome;
    this.status = status;
    this.headers = headers;
  }
}

/** Who makes a request. @throws HttpRefusal */
export type Authenticator = (request: IncomingMessage) => Principal;

export interface Credentials {
  /** Absent: only certificates count. */
  readonly tokens?: TokenFile | undefined;
  /** The role in the certificate that the connection showed and this coordinator's CA signed; undefined where it showed none. Absent: only tokens count. */
  readonly roleOf?: ((request: IncomingMessage) => string | undefined) | undefined;
}

/** The role in a client's certificate, where its CA is one that this server believes. */
export function roleOfClient({ socket }: IncomingMessage): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const identity = identityOf(socket.getPeerCertificate().subjectaltname);
  return "role" in identity ? identity.role : undefined;
}

/** Takes a bearer token where one is sent, else the client's certificate. */
export const authenticator =
  ({ tokens, roleOf = () => undefined }: Credentials): Authenticator =>
  (request) => {
    const { authorization } = request.headers;
    const token =
      authorization === undefined ? undefined : /^Bearer ([\x21-\x7e]+)$/i.exec(authorization)?.[1];
    const known = token === undefined ? undefined : tokens?.principalOf(token);
    if (known !== undefined) return known;
    if (authorization !== undefined) throw unauthenticated("the token is nobody's");
    const role = roleOf(request);
    if (role === undefined)
      throw unauthenticated("send a bearer token, or show a certificate of this coordinator's CA");
    const allowed = USER_ROLES.find((each) => each === role);
    if (allowed === undefined)
      throw new HttpRefusal(
        "wrong_role",
        403,
        `this is for ${USER_ROLES.join(" and ")}, and the certificate is of ${role}`,
      );
    return { name: `certificate of ${role}`, role: allowed };
  };

const unauthenticated = (problem: string): HttpRefusal =>
  new HttpRefusal("unauthenticated", 401, problem, { "www-authenticate": "Bearer" });
