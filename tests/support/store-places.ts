import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { connect } from "nats";
import { onTestFinished } from "vitest";
import { type JetStreamLogOptions, openJetStreamLog } from "../../coordinator/store/jetstream-log.ts";
import type { Log, LogEntry, RestorableLog } from "../../coordinator/store/log.ts";
import { SqliteConnection } from "../../coordinator/store/sqlite-connection.ts";
import { digestOfRow } from "../../coordinator/store/sqlite-layout.ts";
import { openSqliteLog } from "../../coordinator/store/sqlite-log.ts";
import { tempFolder } from "./temp-folder.ts";

/** Where a log is kept, for tests that run on every kind. */
export interface StorePlace {
  /** The log is closed when the test ends. */
  open(): Promise<RestorableLog>;
  /** Another coordinator takes over, while `holder` does not hear of it. */
  takeOver(holder: Log): Promise<void>;
}

export const STORE_KINDS = ["sqlite", "jetstream"] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

/** A new, empty place; `natsUrl` is where streams are made. */
export const storePlace = (kind: StoreKind, natsUrl: string): StorePlace =>
  kind === "sqlite" ? sqlitePlace(join(tempFolder(), "state.db")) : jetStreamPlace(natsUrl);

export function sqlitePlace(file: string): StorePlace {
  return {
    open: async () => closedWithTest(await openSqliteLog(file)),
    async takeOver({ term, last }) {
      const connection = new SqliteConnection(file);
      await connection.execute(
        `UPDATE meta SET term = ${term + 1}, digest = '${digestOfRow(term + 1, last)}' WHERE term = ${term}`,
      );
      connection.close();
    },
  };
}

export function jetStreamPlace(url: string): StorePlace {
  const options = jetStreamOptions(url);
  return {
    open: async () => closedWithTest(await openJetStreamLog(options)),
    async takeOver() {
      await onNats(url, async (connection) => {
        const leaders = await connection.jetstream().views.kv("ELIBAD_LEADERS");
        await leaders.delete(options.name);
      });
      await (await openJetStreamLog(options)).close();
    },
  };
}

/** Options for a stream of its own, which is removed when the test ends. */
export function jetStreamOptions(url: string): JetStreamLogOptions {
  const name = `test-${randomUUID()}`;
  onTestFinished(() =>
    onNats(url, async (connection) => {
      const manager = await connection.jetstreamManager();
      await manager.streams.delete(`ELIBAD_LOG_${name}`).catch(() => {});
    }),
  );
  return { url, name, address: "here:1", maxBytes: 64 * 1024 ** 2, leaseMs: 1_000 };
}

export async function onNats<T>(
  url: string,
  act: (connection: Awaited<ReturnType<typeof connect>>) => Promise<T>,
): Promise<T> {
  const connection = await connect({ servers: url });
  try {
    return await act(connection);
  } finally {
    await connection.close();
  }
}

export async function replayed(log: Log): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  for await (const entry of log.replay()) entries.push(entry);
  return entries;
}

/** What a replay gives for values from `first` on. */
export const records = (first: number, ...values: readonly unknown[]): LogEntry[] =>
  values.map((value, k) => ({ kind: "record", sequence: first + k, value }));

function closedWithTest<T extends Log>(log: T): T {
  onTestFinished(() => log.close());
  return log;
}
