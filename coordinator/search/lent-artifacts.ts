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

function lentOf(executor: Artifacts): Lent {
  const lent = lentBy.get(executor) ?? { uses: new Map(), turn: Promise.resolve() };
  lentBy.set(executor, lent);
  return lent;
}

function inTurn<R>(lent: Lent, action: () => Promise<R>): Promise<R> {
  const done = lent.turn.then(action);
  lent.turn = done.catch(() => undefined);
  return done;
}

/** Lends bytes to operations until `takeBack`. */
export async function lend(executor: Artifacts, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  adopt(executor, digest);
  try {
    await inTurn(lentOf(executor), () => executor.putArtifact(bytes));
  } catch (error) {
    await takeBack(executor, digest);
    throw error;
  }
  return digest;
}

/** Counts an artifact that is there already, of a result, as lent once more. */
export function adopt(executor: Artifacts, digest: Digest): void {
  const { uses } = lentOf(executor);
  uses.set(digest, (uses.get(digest) ?? 0) + 1);
}

/** The last one that uses an artifact lets go of it. */
export async function takeBack(executor: Artifacts, digest: Digest): Promise<void> {
  const lent = lentOf(executor);
  lent.uses.set(digest, lent.uses.get(digest)! - 1);
  await inTurn(lent, async () => {
    if (lent.uses.get(digest) !== 0) return;
    lent.uses.delete(digest);
    await executor.releaseArtifact(digest);
  });
}

/** Lends bytes to operations while `work` runs, however it ends. */
export async function withArtifacts<T>(
  executor: Artifacts,
  contents: readonly Uint8Array[],
  work: (digests: readonly Digest[]) => Promise<T>,
): Promise<T> {
  const held: Digest[] = [];
  try {
    for (const bytes of contents) held.push(await lend(executor, bytes));
    return await work(held);
  } finally {
    for (const digest of held) await takeBack(executor, digest);
  }
}
