import { join } from "node:path";
import fc from "fast-check";
import { readBackup } from "../../../coordinator/store/backup.ts";
import type { LogEntry } from "../../../coordinator/store/log.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { validOf } from "../corpus.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { deepJson } from "../generate/json.ts";
import { changedJsonLines, jsonLinesChange, jsonLinesOf } from "../generate/json-lines.ts";
import { sealed } from "../generate/lines.ts";
import type { Files, Parser } from "../parser.ts";

const seeds = validOf("backup").map((files) =>
  jsonLinesOf(Buffer.from(files["sweeps.backup"]!).toString("utf8").trimEnd().split("\n").slice(0, -1)),
);

const backup = (text: string | Uint8Array): Files => ({ "sweeps.backup": Buffer.from(text as string) });

export const backups: Parser = {
  name: "backup",
  runs: 3_000,
  inputs: fc
    .record({ seed: fc.nat(seeds.length - 1), change: jsonLinesChange, bytes: byteChanges })
    .map(
      ({ seed, change, bytes }): Files =>
        backup(changedBytes(Buffer.from(sealed(changedJsonLines(seeds[seed]!, change))), bytes)),
    ),
  extremes: () => {
    const head = '{"elibad":"backup","layout":1,"term":1}';
    return {
      "brackets in brackets": backup(sealed([head, deepJson(1_000_000)])),
      "a record of brackets": backup(sealed([head, `{"sequence":1,"value":${deepJson(100_000)}}`])),
      "a million line ends": backup("\n".repeat(1_000_000)),
      "a line of thirty megabytes": backup(
        sealed([head, `{"sequence":1,"value":"${"a".repeat(30_000_000)}"}`]),
      ),
      "a hundred thousand records": backup(
        sealed([head, ...Array.from({ length: 100_000 }, (_, k) => `{"sequence":${k + 1},"value":1}`)]),
      ),
    };
  },
  onDisk: true,
  /** What a restore checks, and then what a coordinator makes of what it wrote. */
  async parse(_, folder) {
    const file = join(folder, "sweeps.backup");
    const { upTo, snapshot, records } = await readBackup(file);
    async function* replay(): AsyncGenerator<LogEntry> {
      if (snapshot) yield { kind: "snapshot", upTo, value: snapshot.value };
      for (const { sequence, value } of records) yield { kind: "record", sequence, value };
    }
    try {
      await SweepBook.open({ replay } as never, { now: () => 0 });
    } catch (error) {
      if (!/ of the sweeps' log cannot be read: /.test((error as Error).message)) throw error;
      const { message, cause } = error as Error;
      if (cause instanceof TypeError || cause instanceof RangeError) throw error;
      throw new UnreadableLogError(`${file}: ${message.slice(0, 1_000)}`);
    }
  },
  errors: ["StoreDamagedError", "UnreadableLogError"],
  isHeaderError: ({ message }) => /is cut|sha256|is not JSON|is not a line of a backup/.test(message),
};

class UnreadableLogError extends Error {
  override readonly name = "UnreadableLogError";
}
