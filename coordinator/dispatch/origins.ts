/** Who computed what a scope was given, as far as nobody has computed it a second time. Pure. */
import type { Digest } from "../../proto/operations.ts";

/** Results of one scope, numbered from 1 in the order in which it was given them. */
export interface Origins {
  given: number;
  /** By worker: the newest of its results that nobody will check. */
  readonly unchecked: Map<string, number>;
  /** Results that are being checked. */
  readonly pending: Map<Digest, { readonly workerId: string; readonly number: number }>;
}

export const newOrigins = (): Origins => ({ given: 0, unchecked: new Map(), pending: new Map() });

/** The scope is given a result. */
export function noteGiven(
  origins: Origins,
  { workerId, fingerprint, isChecked }: { workerId: string; fingerprint: Digest; isChecked: boolean },
): void {
  origins.given += 1;
  if (isChecked) origins.pending.set(fingerprint, { workerId, number: origins.given });
  else origins.unchecked.set(workerId, origins.given);
}

/** The check of a result is over: another worker has computed the same, or nobody will say. */
export function noteChecked(origins: Origins, fingerprint: Digest, isEqual: boolean): void {
  const result = origins.pending.get(fingerprint);
  if (!result) return;
  origins.pending.delete(fingerprint);
  if (isEqual) return;
  origins.unchecked.set(
    result.workerId,
    Math.max(origins.unchecked.get(result.workerId) ?? 0, result.number),
  );
}

/** Those after the first `given` ones that are being checked. */
export const checkingSince = ({ pending }: Origins, given: number): Digest[] =>
  [...pending].flatMap(([fingerprint, { number }]) => (number > given ? [fingerprint] : []));

/** Workers of whose results after the first `given` ones some are not checked, in the order of their names; where they all are being checked, with these results. */
export function uncheckedSince(
  { unchecked, pending }: Origins,
  given: number,
): { readonly workerId: string; readonly checking: readonly Digest[] | undefined }[] {
  const workers = new Map<string, Digest[] | undefined>();
  for (const [workerId, number] of unchecked) if (number > given) workers.set(workerId, undefined);
  for (const [fingerprint, { workerId, number }] of pending) {
    if (number <= given) continue;
    if (workers.has(workerId)) workers.get(workerId)?.push(fingerprint);
    else workers.set(workerId, [fingerprint]);
  }
  return [...workers]
    .map(([workerId, checking]) => ({ workerId, checking }))
    .sort((a, b) => (a.workerId < b.workerId ? -1 : 1));
}
