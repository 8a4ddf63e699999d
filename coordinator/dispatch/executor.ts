import type { Digest, Executor, Operation, OperationResult } from "../../proto/operations.ts";
import type { ArtifactStore } from "./artifact-store.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { CoordinatorClosedError } from "./errors.ts";
import { memoryNeed } from "./memory-need.ts";
import { checkingSince, uncheckedSince } from "./origins.ts";
import type { ScopeView } from "./scope-view.ts";
import type { ScopeTerms } from "./state.ts";

/** Who computed what an executor gave, as far as nobody computed it a second time. */
export class ExecutorProvenance {
  readonly #dispatcher: Dispatcher;
  readonly #scope: string;

  constructor(dispatcher: Dispatcher, scope: string) {
    this.#dispatcher = dispatcher;
    this.#scope = scope;
  }

  /** How many results it gave so far. */
  get given(): number {
    return this.#dispatcher.originsOf(this.#scope)?.given ?? 0;
  }

  /**
   * Workers of whose results after the first `given` ones some are not checked now; `cleared` resolves, when nothing of them is being checked any more, with those
   * whose results all turned out right. Undefined where a check was broken off, or a result that was used is wrong.
   */
  uncheckedSince(given: number): {
    readonly workers: readonly string[];
    readonly isChecking: boolean;
    cleared(): Promise<readonly string[] | undefined>;
  } {
    const origins = this.#dispatcher.originsOf(this.#scope);
    const unchecked = origins ? uncheckedSince(origins, given) : [];
    const checking = origins ? checkingSince(origins, given) : [];
    const ends = checking.map(
      async (each) => [each, await this.#dispatcher.whenChecked(this.#scope, each)] as const,
    );
    return {
      workers: unchecked.map(({ workerId }) => workerId),
      isChecking: checking.length > 0,
      async cleared() {
        const outcomes = new Map(await Promise.all(ends));
        for (const outcome of outcomes.values())
          if (outcome === "closed" || outcome === "different") return undefined;
        const isRight = (each: Digest) => outcomes.get(each) === "equal";
        return unchecked.flatMap((each) => (each.checking?.every(isRight) ? [each.workerId] : []));
      },
    };
  }

  /**
   * Resolves when nothing of what it gave is being checked any more.
   *
   * @throws DistrustedResultsError where a worker that gave some of it was expelled
   */
  settled(signal?: AbortSignal): Promise<void> {
    return this.#dispatcher.settled(this.#scope, signal);
  }
}

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
  #isClosed = false;

  constructor(dispatcher: Dispatcher, store: ExecutorArtifacts, scope: string, terms: ExecutorTerms = {}) {
    this.#dispatcher = dispatcher;
    this.#store = store;
    this.#scope = scope;
    this.#terms = terms;
    this.provenance = new ExecutorProvenance(dispatcher, scope);
  }

  /**
   * @throws OperationGivenUpError where no worker can do one of them; the others are then withdrawn.
   * @throws DistrustedResultsError where a worker whose results it gave before was expelled.
   * @throws CoordinatorClosedError where it, or the coordinator, was closed.
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
    // Its scope would begin anew, and nobody would close that.
    if (this.#isClosed) throw new CoordinatorClosedError();
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

  /** Who computed what it gave. */
  readonly provenance: ExecutorProvenance;

  /** How its operations stand, for people. */
  view(): ScopeView {
    return this.#dispatcher.viewOf(this.#scope);
  }

  /** Withdraws what it still waits for, forgets a device class that is not in its terms, and lets go of what it put and no other one did. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#dispatcher.closeScope(this.#scope);
    await this.#store.releaseAllOf(this.#scope);
  }
}
