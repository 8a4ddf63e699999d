import type { Digest, Executor, Operation, OperationResult } from "../../proto/operations.ts";
import type { ArtifactStore } from "./artifact-store.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { memoryNeed } from "./memory-need.ts";
import type { ScopeTerms } from "./state.ts";

/** What executors need of the store. */
export type ExecutorArtifacts = Pick<ArtifactStore, "put" | "putFile" | "read" | "release" | "releaseAllOf">;

export interface ExecutorTerms extends ScopeTerms {
  /** Bytes of a checkpoint; undefined where nobody knows. Absent: nobody knows of any, and all workers are large enough. */
  readonly checkpointBytes?: (checkpoint: Digest) => Promise<number | undefined>;
}

/**
 * Runs operations on the cluster's workers. All operations of one executor are computed by one device class and program
 * version, that of its terms or else of the first worker that gets one: an executor is made for one search, command or job.
 */
export class ClusterExecutor implements Executor {
  readonly #dispatcher: Dispatcher;
  readonly #store: ExecutorArtifacts;
  readonly #scope: string;
  readonly #terms: ExecutorTerms;
  /** Of the checkpoints that its operations named. */
  readonly #checkpointBytes = new Map<Digest, number | undefined>();

  constructor(dispatcher: Dispatcher, store: ExecutorArtifacts, scope: string, terms: ExecutorTerms = {}) {
    this.#dispatcher = dispatcher;
    this.#store = store;
    this.#scope = scope;
    this.#terms = terms;
  }

  /**
   * @throws OperationGivenUpError where no worker can do one of them; the others are then withdrawn.
   * @throws OperationTooLargeError where one does not fit into a message; none is begun then.
   * @throws the signal's reason where it aborts; leases are then cancelled.
   */
  async execute(operations: readonly Operation[], signal?: AbortSignal): Promise<OperationResult[]> {
    const { checkpointBytes, ...terms } = this.#terms;
    for (const { checkpoint } of checkpointBytes ? operations : []) {
      if (!this.#checkpointBytes.has(checkpoint))
        this.#checkpointBytes.set(checkpoint, await checkpointBytes!(checkpoint));
    }
    const memoryBytesOf = ({ kind, checkpoint }: Operation) =>
      memoryNeed(kind, this.#checkpointBytes.get(checkpoint));
    return this.#dispatcher.run(this.#scope, operations, signal, { terms, memoryBytesOf });
  }

  putArtifact(bytes: Uint8Array): Promise<Digest> {
    return this.#store.put(bytes, this.#scope);
  }

  putFile(path: string): Promise<Digest> {
    return this.#store.putFile(path, this.#scope);
  }

  readArtifact(digest: Digest): Promise<Uint8Array> {
    return this.#store.read(digest);
  }

  async releaseArtifact(digest: Digest): Promise<void> {
    this.#dispatcher.handle({ kind: "released", digest });
    await this.#store.release(digest, this.#scope);
  }

  /** Device class and program version that its results come from: that of its terms, else undefined before the first lease. */
  get deviceClass(): string | undefined {
    return this.#dispatcher.state.scopes.get(this.#scope)?.deviceClass ?? this.#terms.deviceClass;
  }

  /** Withdraws what it still waits for, forgets a device class that is not in its terms, and lets go of what it put and no other one did. */
  async close(): Promise<void> {
    this.#dispatcher.closeScope(this.#scope);
    await this.#store.releaseAllOf(this.#scope);
  }
}
