import { type Coordinator, type CoordinatorOptions, startCoordinator } from "../coordinator.ts";
import { ListenError } from "../dispatch/errors.ts";
import { NatsResultsError } from "../gather/nats-results.ts";
import { InputError } from "./errors.ts";

/** Starts a command's coordinator. What it cannot start with is named by the option that it came from. */
export async function startCommandsCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  try {
    return await startCoordinator(options);
  } catch (error) {
    if (error instanceof NatsResultsError) {
      throw new Error(`--nats ${options.nats?.url}: ${natsProblem(error.cause)}`);
    }
    throw refuseToStart(error, { listen: options.listen });
  }
}

/** An address that cannot be listened on, named by its option; other errors as they are. */
export function refuseToStart(
  error: unknown,
  { listen, http }: { readonly listen?: string | undefined; readonly http?: string | undefined },
): unknown {
  if (!(error instanceof ListenError)) return error;
  const flags = new Map([
    [http, "--http"],
    [listen, "--listen"],
  ]);
  const flag = flags.get(error.address) ?? "--metrics-port";
  const message = `${flag} ${error.address}: ${error.reason}`;
  // With a cause the address is right and the system refuses it: no wrong use.
  return error.cause === undefined ? new InputError(message) : new Error(message);
}

function natsProblem(cause: unknown): string {
  const { code, message } = cause as { readonly code?: string; readonly message: string };
  switch (code) {
    case "CONNECTION_REFUSED":
    case "TIMEOUT":
      return "no NATS server answers there";
    case "503":
      return "the NATS server there runs without JetStream (start it with -js)";
    case "AUTHORIZATION_VIOLATION":
      return "the NATS server there does not take the credentials of --nats-creds, or asks for some and there are none";
    case "SERVER_OPTION_NA":
      return "the NATS server there speaks no TLS";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `the NATS server there has a certificate for other names: ${message}`;
  }
  if (/CERT|ISSUER|SIGNATURE/.test(code ?? ""))
    return `the certificate of the NATS server there is not from the CAs of --nats-ca: ${message}`;
  return `results cannot come through the NATS server there: ${message}`;
}
