import { createHash, randomUUID } from "node:crypto";
import { closeSync, fsyncSync, linkSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { SqliteConnection } from "./sqlite-connection.ts";

/** "elib" in SQLite's header: whose file it is. */
export const APPLICATION_ID = 0x656c6962;

/** Rises when the tables change. */
export const LAYOUT_VERSION = 1;

/**
 * `meta` has one row: the term and the last sequence, which every write names and moves, and who has the file. Digests
 * are there because SQLite notices a page that is no page, and not a digit that became another.
 */
const TABLES = `
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  term INTEGER NOT NULL,
  last INTEGER NOT NULL,
  digest TEXT NOT NULL,
  holder TEXT
) STRICT;
CREATE TABLE snapshot (up_to INTEGER PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL) STRICT;
CREATE TABLE record (sequence INTEGER PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL) STRICT;
`;

/** Makes an empty log. It appears whole, under its name, or not at all; another that was made meanwhile stays. */
export async function createSqliteFile(file: string): Promise<void> {
  const aside = `${file}.${randomUUID()}.new`;
  try {
    const connection = new SqliteConnection(aside);
    try {
      await connection.execute("PRAGMA synchronous = EXTRA");
      await connection.execute(
        `BEGIN; ${TABLES} INSERT INTO meta VALUES (1, 0, 0, '${digestOfRow(0, 0)}', NULL);
         PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${LAYOUT_VERSION}; COMMIT`,
      );
    } finally {
      connection.close();
    }
    linkSync(aside, file);
    syncFolder(dirname(file));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** So that a new name survives a loss of power. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Over a row's number (sequence, or term) and its other content; 16 of 64 hex digits. */
export function digestOfRow(number: number, content: string | number): string {
  return createHash("sha256").update(`${number}\n${content}`).digest("hex").slice(0, 16);
}
