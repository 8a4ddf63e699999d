import type { Logger } from "pino";
import { hostOf, isLocal } from "../../proto/tls/loopback.ts";
import type { HttpOptions } from "../api/server.ts";
import { TokenFile, TokenFileError } from "../http/tokens.ts";
import { InputError } from "./errors.ts";
import { grouped, hostPort, option, optionalPath, type Parsed } from "./options.ts";

/** The port for users. */
export const httpOptions = grouped("Users over HTTP", {
  http: option(
    "--http <host:port>",
    "serve sweeps, jobs, results and workers there as JSON, to read (docs/http.md); with TLS where --tls-cert names a certificate",
    hostPort.refine((address) => !address.startsWith("unix:"), "must be host:port").optional(),
    "nowhere",
  ),
  httpTokens: optionalPath(
    "--http-tokens <file>",
    "who may ask there: a line for each, 'name role sha256-of-token'; it is read again when it changes",
    "certificates alone",
  ),
});

/**
 * @param isPlain there is no TLS
 * @throws InputError where nobody could ask, somebody else could read along, or the file holds no tokens
 */
export function requireHttp(
  { http, httpTokens }: Parsed<typeof httpOptions>,
  { isPlain, hasSweeps }: { readonly isPlain: boolean; readonly hasSweeps: boolean },
): void {
  if (http === undefined) {
    if (httpTokens === undefined) return;
    throw new InputError(`--http-tokens ${httpTokens}: name the address for users, too: --http HOST:PORT`);
  }
  if (hostOf(http) === undefined) throw new InputError(`--http ${http}: it is not host:port`);
  if (!hasSweeps) throw new InputError(`--http ${http}: there are no sweeps to ask for: --state DIR`);
  if (isPlain && !isLocal(http))
    throw new InputError(
      `--http ${http}: other machines reach this address, and tokens would go there in plain text: it needs --tls-cert, --tls-key and --tls-ca`,
    );
  if (isPlain && httpTokens === undefined)
    throw new InputError(`--http ${http}: nobody could ask there: --http-tokens FILE names who may`);
  if (httpTokens !== undefined) openTokens(httpTokens, () => undefined);
}

/** What `requireHttp` found right. @throws InputError */
export function openHttp(
  http: string,
  httpTokens: string | undefined,
  logger: Pick<Logger, "warn">,
): HttpOptions {
  const tokens = httpTokens === undefined ? undefined : openTokens(httpTokens, (line) => logger.warn(line));
  return { host: hostOf(http)!, port: Number(/\d+$/.exec(http)![0]), tokens };
}

function openTokens(file: string, log: (message: string) => void): TokenFile {
  try {
    return new TokenFile(file, log);
  } catch (error) {
    if (!(error instanceof TokenFileError)) throw error;
    throw new InputError(`--http-tokens ${error.message}`);
  }
}
