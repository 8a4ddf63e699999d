import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { z } from "zod";
import type { NatsServers } from "../../proto/nats-connection.ts";
import { openJetStreamLog } from "../store/jetstream-log.ts";
import type { RestorableLog } from "../store/log.ts";
import { openSqliteLog } from "../store/sqlite-log.ts";
import { InputError } from "./errors.ts";
import { fileProblem } from "./input-file.ts";
import { type CertificateFiles, natsOptions, natsServers } from "./nats-options.ts";
import { oneOf, option, optionalPath, type Parsed, text, wholeNumber } from "./options.ts";
import { writeFileWhole } from "./output.ts";

/** Where a coordinator keeps its sweeps. */
export const stateOptions = {
  state: optionalPath(
    "--state <dir>",
    "folder for sweeps: their log, artifacts and results; with the log in JetStream, a folder that all coordinators see",
    "none: no sweeps",
  ),
  store: option(
    "--store <kind>",
    "where the sweeps' log is: embedded in --state as a file, or in the JetStream of --nats, where a standby can take over",
    oneOf("embedded", "jetstream").optional(),
    "jetstream with --nats, else embedded",
  ),
  ...natsOptions,
  logName: option(
    "--log-name <name>",
    "names the log among those in one JetStream; coordinators of one name stand by for each other",
    text.regex(/^[A-Za-z0-9_-]{1,48}$/, "must be 1 to 48 letters, digits, _ or -").default("elibad"),
  ),
  logReplicas: option(
    "--log-replicas <n>",
    "NATS servers that keep a copy of the log: 1, 3 or 5",
    wholeNumber(1, 5).default(1) as z.ZodType<number>,
  ),
};

/** A sweeps' store, as the options name it. */
export type StatePlace =
  | { readonly kind: "embedded"; readonly folder: string; readonly file: string }
  | (NatsServers & {
      readonly kind: "jetstream";
      readonly folder: string;
      readonly name: string;
      readonly replicas: number;
    });

/** Undefined where no sweeps are kept. @throws InputError where options do not go together, or name a file that cannot be used */
export function statePlace(
  options: Parsed<typeof stateOptions> & CertificateFiles,
  log?: (message: string) => void,
): StatePlace | undefined {
  const { nats, logName: name, logReplicas: replicas } = options;
  // Results name their folder to whoever asks, from wherever.
  const folder = options.state === undefined ? undefined : resolve(options.state);
  const store = options.store ?? (nats === undefined ? "embedded" : "jetstream");
  if (folder === undefined) {
    if (options.store === undefined) return undefined;
    throw new InputError(`--store ${store}: name the folder for results and artifacts, too: --state DIR`);
  }
  if (store === "embedded") return { kind: "embedded", folder, file: join(folder, "state.db") };
  if (nats === undefined) throw new InputError("--store jetstream: name the server, too: --nats URL");
  if (replicas % 2 === 0) throw new InputError(`--log-replicas ${replicas}: must be 1, 3 or 5`);
  return { kind: "jetstream", folder, name, replicas, ...natsServers(options, log)! };
}

/** Opens the sweeps' log; on JetStream that waits until this coordinator leads. @throws StoreError; the signal's reason */
export async function openLog(
  place: StatePlace,
  lead: {
    readonly address: string;
    readonly signal?: AbortSignal;
    readonly onLeader?: (address: string) => void;
    readonly log?: (message: string) => void;
  },
): Promise<RestorableLog> {
  makeFolder(place.folder);
  return place.kind === "embedded" ? openSqliteLog(place.file) : openJetStreamLog({ ...place, ...lead });
}

/** @throws InputError where it cannot be made */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const problem = code === "EEXIST" ? "is a file, expected a folder" : fileProblem(error);
    throw new InputError(`--state ${folder}: ${problem}`, { cause: error });
  }
}

/** The same after every start on this store: what workers publish for it in NATS is then found again. */
export function coordinatorIdOf(place: StatePlace): string {
  if (place.kind === "jetstream") return `log-${place.name}`;
  const file = join(place.folder, "coordinator-id");
  if (!existsSync(file)) writeFileWhole(file, `c-${randomUUID()}\n`);
  return readFileSync(file, "utf8").trim();
}
