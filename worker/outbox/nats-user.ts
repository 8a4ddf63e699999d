import { createUser } from "@nats-io/jwt";

/** The user that a worker is on NATS: a key pair of its process, whose seed stays there. */
export interface NatsUser {
  readonly publicKey: string;
  readonly seed: string;
}

export function newNatsUser(): NatsUser {
  const user = createUser();
  return { publicKey: user.getPublicKey(), seed: Buffer.from(user.getSeed()).toString() };
}
