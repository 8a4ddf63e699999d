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
      throw new Error(`--nats ${options.natsUrl}: ${natsProblem(error.cause)}`);
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
  if (code === "CONNECTION_REFUSED" || code === "TIMEOUT") return "no NATS server answers there";
  if (code === "503") return "the NATS server there runs without JetStream (start it with -js)";
  return `results cannot come through the NATS server there: ${message}`;
}
