import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { StoreDamagedError, StoreGoneError } from "../store/errors.ts";
import { writeFileWhole } from "./output.ts";
import type { StatePlace } from "./state-options.ts";

const KnownTerm = z.strictObject({ log: z.string(), term: z.int().nonnegative() });

/**
 * The last term that a state folder's log was in, kept beside it: a log that begins to count anew was lost, with all sweeps in it, and whoever has their results in this
 * folder must hear of that.
 */
export class TermFile {
  readonly #file: string;
  readonly #log: string;

  constructor(place: StatePlace) {
    this.#file = join(place.folder, "term.json");
    this.#log = place.kind === "embedded" ? place.file : `the stream of log '${place.name}'`;
  }

  /** 0 before the first. @throws StoreDamagedError */
  last(): number {
    if (!existsSync(this.#file)) return 0;
    const text = readFileSync(this.#file, "utf8");
    try {
      return KnownTerm.parse(JSON.parse(text)).term;
    } catch (cause) {
      const problem = `says no term but ${JSON.stringify(text.slice(0, 80))}; remove it where the sweeps of ${this.#log} are those of this folder`;
      throw new StoreDamagedError(this.#file, problem, { cause });
    }
  }

  /** @throws StoreGoneError where the log is not the one of the last term */
  check(term: number): void {
    const last = this.last();
    if (term > last) return;
    throw new StoreGoneError(
      this.#log,
      `is in term ${term}, but the sweeps of this folder were kept up to term ${last}: their log was lost, or this is another one; ` +
        `restore a backup (elibad coordinator restore), or remove ${this.#file} to begin without them`,
    );
  }

  /** The same, and the term is known from now on. */
  begin(term: number): void {
    this.check(term);
    writeFileWhole(this.#file, `${JSON.stringify({ log: this.#log, term })}\n`);
  }
}
