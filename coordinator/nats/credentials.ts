import { type ClaimsData, decode, fromSeed, isUser } from "@nats-io/jwt";
import type { NatsCredential } from "../../proto/nats-connection.ts";

/**
 * What a file of a user's credentials (`.creds`) holds.
 *
 * @throws Error that says what is missing or wrong
 */
export function parseCredentials(text: string, nowMs = Date.now()): NatsCredential {
  const jwt = /-----BEGIN NATS USER JWT-----\s+(\S+)\s+-+END NATS USER JWT-+/.exec(text)?.[1];
  if (jwt === undefined) throw new Error("has no token of a user in it (-----BEGIN NATS USER JWT-----)");
  const seed = /-----BEGIN USER NKEY SEED-----\s+(\S+)\s+-+END USER NKEY SEED-+/.exec(text)?.[1];
  if (seed === undefined) throw new Error("has no seed of a user in it (-----BEGIN USER NKEY SEED-----)");
  const { nats, sub, exp } = claimsOf(jwt);
  if (!isUser({ nats } as ClaimsData<unknown>)) throw new Error("has a token in it that is no user's");
  if (exp !== undefined && exp * 1_000 <= nowMs)
    throw new Error(`has a token in it that expired on ${new Date(exp * 1_000).toISOString()}`);
  if (publicKeyOf(seed) !== sub) throw new Error("has a seed in it that is not of the user in the token");
  return { jwt, seed };
}

function claimsOf(jwt: string): ClaimsData<unknown> {
  try {
    return decode(jwt);
  } catch {
    throw new Error("has a token in it that is damaged");
  }
}

function publicKeyOf(seed: string): string {
  try {
    return fromSeed(Buffer.from(seed)).getPublicKey();
  } catch {
    throw new Error("has a seed in it that is damaged");
  }
}
