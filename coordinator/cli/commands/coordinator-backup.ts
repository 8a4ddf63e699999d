import { randomUUID } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BackupChunkMessage } from "../../../proto/sweep-messages.ts";
import { readBackup, backup as writeBackup } from "../../store/backup.ts";
import type { RestorableLog } from "../../store/log.ts";
import { defineCommand } from "../command.ts";
import { InputError } from "../errors.ts";
import { TermFile } from "../known-term.ts";
import { callingLeader } from "../leader-calls.ts";
import { argument, grouped, hostPorts, option, text } from "../options.ts";
import { requireFreshFile } from "../output.ts";
import { protectionOptions } from "../protection.ts";
import { openLog, type StatePlace, stateOptions, statePlace } from "../state-options.ts";

/** What servers of NATS are shown, where the log is there. */
const { insecure: _, ...certificateOptions } = protectionOptions;

/** What a backup holds, for people. */
interface BackupSummary {
  readonly file: string;
  readonly term: number;
  /** Sequence of the last record. */
  readonly last: number;
}

const summaryOf = async (file: string): Promise<BackupSummary> => {
  const { term, upTo, records } = await readBackup(file);
  return { file, term, last: upTo + records.length };
};

export const backup = defineCommand({
  name: "backup",
  summary: "write the log of a coordinator's sweeps into a file",
  help: `
The file holds sweeps, states of jobs and committed steps, not the files of results; it appears whole or not at all, and is checked. Of a coordinator that runs name the address: it goes on
meanwhile. Of one that does not run name its store.

  elibad coordinator backup sweeps.backup --coordinator 127.0.0.1:7070 --insecure
  elibad coordinator backup sweeps.backup --state elibad-state`,
  options: {
    file: argument("<file>", "new file for the backup", text),
    ...grouped("Which", {
      coordinator: option("--coordinator <host:port,…>", "a coordinator that runs", hostPorts.optional()),
      ...stateOptions,
    }),
    ...protectionOptions,
  },
  async run({ file, coordinator, ...options }, { signal }) {
    requireFreshFile(file);
    const place = statePlace(options);
    if (coordinator === undefined && place === undefined)
      throw new InputError(
        "name a coordinator that runs (--coordinator) or the store of one that does not (--state)",
      );
    if (coordinator === undefined) await backUpStore(place!, file, signal);
    else await fetchBackup({ ...options, coordinator }, file, signal);
    return summaryOf(file);
  },
  show: ({ file, term, last }: BackupSummary) => `${file}: ${last} records, of term ${term}`,
});

export const restore = defineCommand({
  name: "restore",
  summary: "put a backup into an empty store",
  help: `
All of the backup or nothing of it. Jobs go on from the steps that it holds; where traces or results of these are not in --state any more, a job fails and says so, and
elibad sweep retry --fresh does it again.

  elibad coordinator restore sweeps.backup --state elibad-state
  elibad coordinator restore sweeps.backup --state /shared/elibad --nats tls://a:4222 --nats-creds coordinator.creds --log-replicas 3 \\
    --tls-cert certs/coordinator.crt --tls-key certs/coordinator.key --tls-ca certs/ca.crt`,
  options: {
    file: argument("<file>", "the backup", text),
    ...grouped("Where to", stateOptions),
    ...certificateOptions,
  },
  async run({ file, ...state }, { signal }) {
    const place = statePlace(state);
    if (place === undefined) throw new InputError("--state is missing: name the folder of the store");
    const history = await readBackup(file);
    // Above what this folder has seen, so that what was left in it is of earlier terms.
    const term = Math.max(history.term, new TermFile(place).last());
    await withLog(place, signal, (log) => log.adopt({ ...history, term }));
    return summaryOf(file);
  },
  show: ({ last }: BackupSummary) => `restored: ${last} records`,
});

async function backUpStore(place: StatePlace, file: string, signal: AbortSignal): Promise<void> {
  if (place.kind === "embedded" && !existsSync(place.file))
    throw new InputError(`--state ${place.folder}: there is no store in it`);
  await withLog(place, signal, async (log) => {
    new TermFile(place).check(log.term);
    await writeBackup(log, file);
  });
}

/** Opens the log of a store that no coordinator has. */
async function withLog(
  place: StatePlace,
  signal: AbortSignal,
  act: (log: RestorableLog) => Promise<void>,
): Promise<void> {
  const held = new AbortController();
  const log = await openLog(place, {
    address: "",
    signal: AbortSignal.any([signal, held.signal]),
    onLeader: (address) =>
      held.abort(
        new Error(`the coordinator at ${address} has the log: ask it (--coordinator ${address}), or stop it`),
      ),
  });
  try {
    await act(log);
  } finally {
    await log.close();
  }
}

async function fetchBackup(
  coordinators: Parameters<typeof callingLeader>[0],
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const aside = `${file}.${randomUUID()}.new`;
  try {
    await callingLeader(coordinators, signal, (calls) =>
      calls.with((client) => {
        const chunks = client.backup({});
        return pipeline(Readable.from(dataOf(chunks)), createWriteStream(aside), { signal });
      }),
    );
    await readBackup(aside);
    await rename(aside, file);
  } finally {
    await rm(aside, { force: true });
  }
}

async function* dataOf(chunks: AsyncIterable<BackupChunkMessage>): AsyncGenerator<Uint8Array> {
  for await (const { data } of chunks) yield data;
}
