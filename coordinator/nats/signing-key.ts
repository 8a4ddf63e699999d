import { encodeUser, fromPublic, fromSeed } from "@nats-io/jwt";
import { workerPermissions } from "./permissions.ts";

/** A key that an account lets sign for it. */
export interface SigningKey {
  /** The account's public key. */
  readonly account: string;
  readonly seed: string;
}

/** A file of it: both, each on a line of its own. */
export const signingKeyText = ({ account, seed }: SigningKey): string =>
  `# With this key a coordinator signs the credentials of workers. The account that they are of, then the key's seed:\n${account}\n${seed}\n`;

/** What `signingKeyText` wrote. @throws Error that says what is missing or wrong */
export function parseSigningKey(text: string): SigningKey {
  const words = text.replaceAll(/^#.*$/gm, "").split(/\s+/).filter(Boolean);
  const seed = words.find((word) => word.startsWith("SA"));
  if (seed === undefined) throw new Error("has no seed of an account's signing key in it (SA…)");
  const account = words.find((word) => word.startsWith("A"));
  if (account === undefined)
    throw new Error("has no public key of the account in it that the seed signs for (A…)");
  const odd = words.find((word) => word !== seed && word !== account);
  if (odd !== undefined) throw new Error("has something else in it than an account (A…) and a seed (SA…)");
  try {
    fromSeed(Buffer.from(seed)).getPrivateKey();
  } catch {
    throw new Error("has a seed in it that is damaged (SA…)");
  }
  try {
    fromPublic(account);
  } catch {
    throw new Error("has an account in it that is damaged (A…)");
  }
  return { account, seed };
}

/**
 * A token with which the holder of the user key may give the results of one worker.
 *
 * @param userKey public, `U…`
 * @param untilMs since the epoch, by the clock that the servers have, too
 * @throws Error where the user key is none
 */
export function signWorkerToken(
  { account, seed }: SigningKey,
  {
    workerId,
    userKey,
    untilMs,
  }: { readonly workerId: string; readonly userKey: string; readonly untilMs: number },
): Promise<string> {
  return encodeUser(workerId, userKey, account, workerPermissions(workerId), {
    signer: fromSeed(Buffer.from(seed)),
    exp: Math.floor(untilMs / 1_000),
  });
}
