import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { packageRoot } from "../../../proto/package-root.ts";
import type { Language } from "../dead-code.ts";
import type { Extraction } from "./extract.ts";

export interface Snippet {
  readonly code: string;
  readonly language: Language;
}

/** What became of a snippet. */
export type Outcome =
  | { readonly kind: "extracted"; readonly extraction: Extraction }
  | { readonly kind: "unusable"; readonly reason: string; readonly message: string };

export interface ThreadJob {
  readonly id: number;
  readonly snippets: readonly Snippet[];
}

export interface ThreadAnswer {
  readonly id: number;
  readonly outcomes: readonly Outcome[];
}

interface Waiting {
  readonly resolve: (outcomes: readonly Outcome[]) => void;
  readonly reject: (error: Error) => void;
}

/** Threads that extract, each with its own parsers. A grammar runs in WASM, so nothing that one does reaches another. */
export class ThreadPool {
  readonly #threads: readonly Thread[];

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new Thread());
  }

  get size(): number {
    return this.#threads.length;
  }

  /** What becomes of each snippet, in their order. Rejects where a thread dies. */
  extract(snippets: readonly Snippet[]): Promise<readonly Outcome[]> {
    const idlest = this.#threads.reduce((best, each) => (each.load < best.load ? each : best));
    return idlest.extract(snippets);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

class Thread {
  // The compiled entry, also where the sources run as they are: threads know no TypeScript.
  readonly #worker = new Worker(join(packageRoot, "dist", "coordinator", "data", "preprocess", "thread.js"));
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #died: Error | undefined;

  constructor() {
    this.#worker.on("message", ({ id, outcomes }: ThreadAnswer) => {
      this.#waiting.get(id)?.resolve(outcomes);
      this.#waiting.delete(id);
    });
    this.#worker.on("error", (cause) => {
      this.#died = new Error("a parsing thread died", { cause });
      for (const { reject } of this.#waiting.values()) reject(this.#died);
      this.#waiting.clear();
    });
  }

  /** Jobs that it was given and has not answered. */
  get load(): number {
    return this.#waiting.size;
  }

  extract(snippets: readonly Snippet[]): Promise<readonly Outcome[]> {
    if (this.#died) return Promise.reject(this.#died);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, snippets } satisfies ThreadJob);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
