import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { CallError } from "../api/calls.ts";
import type { SweepBook } from "../sweep/book.ts";
import { findSweep } from "../sweep/sweep.ts";

export interface RemovalOptions {
  readonly book: SweepBook;
  /** Sweeps' folders lie in it, by their names. */
  readonly results: string;
  /** Resolves when nobody works on the sweep's jobs any more. */
  readonly letGoOf: (sweep: string) => Promise<void>;
  readonly onRemoved: () => void;
}

/**
 * Removes sweeps with their files. The files go out of the way first, then the log is told, then they go for good: a coordinator that ends in between leaves
 * the next one a folder of which the log says whether it is to be put back.
 */
export class SweepRemoval {
  readonly #options: RemovalOptions;
  /** Sweeps that are being removed: nobody may begin one of these names. */
  readonly #going = new Set<string>();

  private constructor(options: RemovalOptions) {
    this.#options = options;
  }

  /** Ends what an earlier coordinator began. */
  static async open(options: RemovalOptions): Promise<SweepRemoval> {
    const removal = new SweepRemoval(options);
    for (const name of await readdir(removal.#aside()).catch(() => [])) await removal.#settle(name);
    return removal;
  }

  /** @throws CallError where a sweep of this name is being removed; a client asks again by itself */
  requireStays(name: string): void {
    if (this.#going.has(name)) throw new CallError(status.UNAVAILABLE, `sweep '${name}' is being removed`);
  }

  /** Answers the folder in which results stay; empty where they are gone. @throws UnknownNameError; SweepNotOverError; nothing changes then */
  async remove(name: string, { keepResults }: { readonly keepResults: boolean }): Promise<string> {
    const { book, letGoOf, onRemoved } = this.#options;
    this.requireStays(name);
    book.requireOver(name);
    this.#going.add(name);
    try {
      // Jobs that were cancelled a moment ago are still being let go of.
      await book.flushed();
      await letGoOf(name);
      if (!keepResults) await this.#putAside(name);
      try {
        await book.remove(name);
      } finally {
        await this.#settle(name);
      }
    } finally {
      this.#going.delete(name);
    }
    onRemoved();
    const folder = this.#folder(name);
    return keepResults && existsSync(folder) ? folder : "";
  }

  async #putAside(name: string): Promise<void> {
    await mkdir(this.#aside(), { recursive: true });
    await rename(this.#folder(name), this.#aside(name)).catch(unlessMissing);
  }

  /** What was put aside comes back where the sweep is still there, and goes for good where it is not. */
  async #settle(name: string): Promise<void> {
    if (findSweep(this.#options.book.state, name) === undefined)
      await rm(this.#aside(name), { recursive: true, force: true });
    else if (!existsSync(this.#folder(name)))
      await rename(this.#aside(name), this.#folder(name)).catch(unlessMissing);
    await rmdir(this.#aside()).catch(() => undefined);
  }

  #folder(name: string): string {
    return join(this.#options.results, name);
  }

  /** No sweep's name begins with a dot. */
  #aside(name = ""): string {
    return join(this.#options.results, ".removed", name);
  }
}

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
