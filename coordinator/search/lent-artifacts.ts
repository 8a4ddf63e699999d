import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest, Executor } from "../../proto/operations.ts";

type Artifacts = Pick<Executor, "putArtifact" | "releaseArtifact">;

interface Lent {
  /** How often each artifact is in use: equal bytes of two searches are one artifact. */
  readonly uses: Map<Digest, number>;
  /** Ends with the last put or release asked for; they take turns, so that none crosses another of the same artifact. */
  turn: Promise<unknown>;
}

const lentBy = new WeakMap<Artifacts, Lent>();

/** Lends bytes to operations while `work` runs; the last one that uses them lets go of them, however it ends. */
export async function withArtifacts<T>(
  executor: Artifacts,
  contents: readonly Uint8Array[],
  work: (digests: readonly Digest[]) => Promise<T>,
): Promise<T> {
  const lent = lentBy.get(executor) ?? { uses: new Map(), turn: Promise.resolve() };
  lentBy.set(executor, lent);
  const inTurn = <R>(action: () => Promise<R>): Promise<R> => {
    const done = lent.turn.then(action);
    lent.turn = done.catch(() => undefined);
    return done;
  };
  const held: Digest[] = [];
  try {
    for (const bytes of contents) {
      const digest = digestOf(bytes);
      lent.uses.set(digest, (lent.uses.get(digest) ?? 0) + 1);
      held.push(digest);
      await inTurn(() => executor.putArtifact(bytes));
    }
    return await work(held);
  } finally {
    for (const digest of held) {
      lent.uses.set(digest, lent.uses.get(digest)! - 1);
      await inTurn(async () => {
        if (lent.uses.get(digest) !== 0) return;
        lent.uses.delete(digest);
        await executor.releaseArtifact(digest);
      });
    }
  }
}
