import { requireListenable } from "../dispatch/listen.ts";
import { InputError } from "./errors.ts";
import { type httpOptions, requireHttp } from "./http-options.ts";
import { problemsOf, requireReadableFolder, requireWritableFolder } from "./named-paths.ts";
import { type natsSigningOptions, natsWithSigning } from "./nats-options.ts";
import type { Parsed } from "./options.ts";
import { type ProtectionOptions, requireProtection } from "./protection.ts";
import { refuseToStart } from "./start-coordinator.ts";
import { type stateOptions, statePlace } from "./state-options.ts";

/** Options of `elibad coordinator` that may not go together, or name what is not there. */
interface CoordinatorChoices
  extends Parsed<typeof stateOptions & typeof natsSigningOptions>,
    Parsed<typeof httpOptions>,
    ProtectionOptions {
  readonly listen: string;
  readonly advertise: string | undefined;
  readonly artifacts: string | undefined;
  readonly models: string | undefined;
}

/** What keeps a coordinator from starting with these options, as far as it shows without starting it. */
export function coordinatorProblems(options: CoordinatorChoices): readonly string[] {
  const { listen, state, artifacts, models } = options;
  return problemsOf([
    () => requireAddress(listen),
    () => requireProtection(options, { option: "--listen", addresses: [listen], role: "coordinator" }),
    () => requireHttp(options, { isPlain: options.insecure, hasSweeps: state !== undefined }),
    () => natsWithSigning(options),
    () => requireAdvertise(options),
    () => state !== undefined && requireWritableFolder("--state", state),
    () => artifacts !== undefined && requireWritableFolder("--artifacts", artifacts),
    () => models !== undefined && requireReadableFolder("--models", models),
  ]);
}

function requireAddress(listen: string): void {
  try {
    requireListenable(listen);
  } catch (error) {
    throw refuseToStart(error, { listen });
  }
}

/** What all addresses of a machine are to others. */
const EVERYWHERE = /^(0\.0\.0\.0|\[::\]):|^unix:/;

/** @throws InputError where options of the store do not go together, or others would be told an address that they cannot dial */
function requireAdvertise(options: CoordinatorChoices): void {
  const { listen, advertise } = options;
  if (statePlace(options)?.kind !== "jetstream" || advertise !== undefined || !EVERYWHERE.test(listen))
    return;
  throw new InputError(`--listen ${listen}: name the address that others dial, too: --advertise HOST:PORT`);
}
