import { randomInt } from "node:crypto";
import { statSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import {
  type Holder,
  StoreDamagedError,
  StoreError,
  StoreFullError,
  StoreGoneError,
  StoreHeldError,
} from "./errors.ts";
import { BlobText, blobText, SqliteConnection, sqliteCode } from "./sqlite-connection.ts";
import { readHolder } from "./sqlite-holder.ts";
import { APPLICATION_ID, createSqliteFile, digestOfRow, LAYOUT_VERSION } from "./sqlite-layout.ts";

/** A file that this process has for one term. */
export interface HeldFile {
  readonly connection: SqliteConnection;
  readonly term: number;
  readonly last: number;
  /** @throws StoreGoneError where the path names no file any more, or another one. */
  assertInPlace(): void;
  release(): Promise<void>;
}

/** Files that this process has, by device and inode. */
const heldHere = new Map<string, Holder>();

/** How often another program that only looks into the file, or another one that opens it, is waited for. */
const PROBES = 8;

/** Between probes, in ms: drawn, since two that look for each other at the same times never see that they are alone. */
const PROBE_PAUSE_MS = [20, 200] as const;

const probePause = () => pause(randomInt(...PROBE_PAUSE_MS));

/**
 * Takes a file, makes it where it is missing, and raises its term. It must be on a local disk.
 * @throws StoreHeldError, naming the holder; StoreDamagedError.
 */
export async function holdSqliteFile(file: string): Promise<HeldFile> {
  if (!statSync(file, { throwIfNoEntry: false })) await createSqliteFile(file).catch(explain(file));
  const { dev, ino, size } = statSync(file);
  if (size === 0) throw new StoreDamagedError(file, "is empty: it was cut, or never was a store");
  const key = `${dev}:${ino}`;
  const other = heldHere.get(key);
  if (other) throw new StoreHeldError(file, other);
  const holder: Holder = { host: hostname(), pid: process.pid, since: new Date().toISOString() };
  heldHere.set(key, holder);
  let connection: SqliteConnection | undefined;
  const release = async () => {
    // Out of WAL mode, so that the lock goes with it; while somebody looks into the file it stays until this process ends.
    if (connection) await leaveWalMode(connection).catch(() => {});
    connection?.close();
    heldHere.delete(key);
  };
  const assertInPlace = () => {
    const now = statSync(file, { throwIfNoEntry: false });
    if (now?.dev !== dev || now.ino !== ino) throw new StoreGoneError(file, "was removed or replaced");
  };
  try {
    connection = await openAlone(file);
    const { term, last } = await verify(connection, file);
    await takeTerm(connection, { term, last, holder });
    await enterWalMode(connection, term + 1);
    return { connection, term: term + 1, last, assertInPlace, release };
  } catch (error) {
    await release();
    if (error instanceof TakenError || isBusy(error)) throw new StoreHeldError(file, await readHolder(file));
    return explain(file)(error);
  }
}

/**
 * A connection in WAL mode holds a shared lock for as long as it lives, and only somebody alone may leave that mode: so a
 * living holder is found out, and a killed one is forgotten at once. A connection for each probe, since one that waits
 * keeps its lock, and two that open the file of a killed holder would wait for each other.
 */
async function openAlone(file: string): Promise<SqliteConnection> {
  for (let probe = 1; ; probe++) {
    const connection = new SqliteConnection(file);
    try {
      await connection.execute(LEAVE_WAL_MODE);
      return connection;
    } catch (error) {
      connection.close();
      if (!isBusy(error) || probe === PROBES) throw error;
      await probePause();
    }
  }
}

const LEAVE_WAL_MODE = "PRAGMA journal_mode = DELETE";

async function leaveWalMode(connection: SqliteConnection): Promise<void> {
  for (let probe = 1; ; probe++) {
    try {
      return await connection.execute(LEAVE_WAL_MODE);
    } catch (error) {
      if (!isBusy(error) || probe === PROBES) throw error;
      await probePause();
    }
  }
}

const MetaRow = z.object({ term: z.number(), last: z.number(), digest: BlobText });

async function verify(connection: SqliteConnection, file: string): Promise<{ term: number; last: number }> {
  if ((await pragma(connection, "application_id")) !== APPLICATION_ID) {
    throw new StoreDamagedError(file, "is a SQLite file, and not a store of elibad");
  }
  const version = await pragma(connection, "user_version");
  if (version !== LAYOUT_VERSION) {
    throw new StoreDamagedError(file, `has layout ${version}; this elibad reads layout ${LAYOUT_VERSION}`);
  }
  const [check] = await connection.all(
    `SELECT ${blobText("problems")} FROM (SELECT group_concat(quick_check, '; ') AS problems FROM pragma_quick_check)`,
  );
  const problems = BlobText.parse(check?.problems);
  if (problems !== "ok") throw new StoreDamagedError(file, `is damaged: ${problems.slice(0, 500)}`);
  const meta = MetaRow.safeParse(
    (await connection.all(`SELECT term, last, ${blobText("digest")} FROM meta WHERE id = 1`))[0],
  );
  if (!meta.success || meta.data.digest !== digestOfRow(meta.data.term, meta.data.last)) {
    throw new StoreDamagedError(file, "is damaged: its term and last sequence are not what was written");
  }
  return meta.data;
}

async function pragma(connection: SqliteConnection, name: string): Promise<unknown> {
  return Object.values((await connection.all(`PRAGMA ${name}`))[0] ?? {})[0];
}

/** Somebody else took the file meanwhile; who, is read once this one has let go of its locks. */
class TakenError extends Error {}

/**
 * Several may have been alone one after the other. While the file is in no WAL mode each may raise the term, as it read it;
 * the last one to do so gets the file. Once it is in WAL mode, somebody has it.
 */
async function takeTerm(
  connection: SqliteConnection,
  { term, last, holder }: { term: number; last: number; holder: Holder },
): Promise<void> {
  await connection.execute("PRAGMA busy_timeout = 5000");
  // Every acknowledged append is on the disk; NORMAL would keep it through a kill, not through a loss of power.
  await connection.execute("PRAGMA synchronous = FULL");
  await connection.execute(`PRAGMA journal_size_limit = ${16 * 1024 ** 2}`);
  const values = [term + 1, digestOfRow(term + 1, last), JSON.stringify(holder), term, last];
  await connection.transaction(async () => {
    const isFree = (await pragma(connection, "journal_mode")) !== "wal";
    if (!isFree || (await connection.run(TAKE_TERM, ...values)) !== 1) throw new TakenError();
  });
}

const TAKE_TERM = "UPDATE meta SET term = ?, digest = ?, holder = ? WHERE term = ? AND last = ?";

/** Into WAL mode, and to its lock. Others that open the file may lead it out of that mode before the lock is there. */
async function enterWalMode(connection: SqliteConnection, term: number): Promise<void> {
  for (let probe = 1; ; probe++) {
    try {
      await connection.execute("PRAGMA journal_mode = WAL");
      // The first read in that mode takes the lock; from then on nobody is alone, and so nobody raises the term.
      const [meta] = await connection.all("SELECT term FROM meta WHERE id = 1");
      if (meta?.term !== term) throw new TakenError();
      if ((await pragma(connection, "journal_mode")) === "wal") return;
    } catch (error) {
      if (!isBusy(error) || probe === 10 * PROBES) throw error;
    }
    await probePause();
  }
}

const isBusy = (error: unknown) => sqliteCode(error)?.startsWith("SQLITE_BUSY") === true;

/** Errors of SQLite in terms of the store. */
export const explain =
  (file: string) =>
  (error: unknown): never => {
    if (error instanceof StoreError) throw error;
    const code = sqliteCode(error);
    const { message } = error as Error;
    const options = { cause: error };
    if (code?.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") {
      throw new StoreDamagedError(file, `is damaged: ${message}`, options);
    }
    if (code === "SQLITE_FULL") throw new StoreFullError(file, `cannot be written: ${message}`, options);
    throw new Error(`${file}: ${message}${code === undefined ? "" : ` (${code})`}`, options);
  };
