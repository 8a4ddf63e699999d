import {
  type Account,
  createAccount,
  createOperator,
  createUser,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
  fromSeed,
  type KeyPair,
  type User,
} from "@nats-io/jwt";
import { ALL_RESULTS } from "../../proto/subjects.ts";
import { COORDINATOR_PERMISSIONS } from "./permissions.ts";
import { signingKeyText } from "./signing-key.ts";

/** Who vouches for whom on elibad's own NATS servers: an operator for two accounts, those for their users. All are texts of files. */
export interface NatsAccounts {
  /** Seeds of the operator and of the coordinators' account. Nothing that runs needs them: they make new accounts, and new coordinators. */
  readonly operatorSeed: string;
  readonly coordinatorsSeed: string;
  /** What a coordinator connects with. */
  readonly coordinatorCreds: string;
  /** For people with a NATS tool: anything in the coordinators' account, as a stream's end. */
  readonly adminCreds: string;
  /** What a coordinator signs the credentials of workers with. */
  readonly signingKey: string;
  readonly operatorJwt: string;
  readonly coordinatorsJwt: string;
  readonly workersJwt: string;
  /** The part of a server's configuration that says all this. It holds no secret. */
  readonly accountsConf: string;
}

/** What stays when everything else is made anew. */
export type KeptSeeds = Pick<NatsAccounts, "operatorSeed" | "coordinatorsSeed">;

/**
 * New keys and tokens. Workers have an account of their own, from which nothing but results goes to that of the coordinators, where JetStream is: in one account
 * with it, a worker's message could name any subject for the answer, and JetStream would write its answer there, into the log as well.
 *
 * @param kept of those who are renewed: the coordinators' account stays, with the streams in it, and takes no credentials that were made before
 */
export async function makeNatsAccounts(kept?: KeptSeeds): Promise<NatsAccounts> {
  const operator = kept ? pairOf(kept.operatorSeed) : createOperator();
  const coordinators = kept ? pairOf(kept.coordinatorsSeed) : createAccount();
  const [system, workers, signing] = [createAccount(), createAccount(), createAccount()];
  const [systemId, coordinatorsId, workersId] = [system, coordinators, workers].map((pair) =>
    pair.getPublicKey(),
  );
  const sign = (name: string, pair: KeyPair, account: Partial<Account>) =>
    encodeAccount(name, pair, withLimits(account), { signer: operator });
  const results = { name: "results", subject: ALL_RESULTS, type: "service" } as const;

  const operatorJwt = await encodeOperator("elibad", operator, { system_account: systemId! });
  const systemJwt = await sign("SYS", system, {});
  const coordinatorsJwt = await sign("elibad-coordinators", coordinators, {
    limits: ON_DISK,
    exports: [results],
    ...(kept && { revocations: { "*": Math.floor(Date.now() / 1_000) - 1 } }),
  });
  const workersJwt = await sign("elibad-workers", workers, {
    imports: [{ ...results, account: coordinatorsId! }],
    signing_keys: [signing.getPublicKey()],
  });
  const credsOf = async (name: string, permissions: Partial<User>): Promise<string> => {
    const user = createUser();
    return Buffer.from(fmtCreds(await encodeUser(name, user, coordinators, permissions), user)).toString();
  };
  return {
    operatorSeed: seedOf(operator),
    coordinatorsSeed: seedOf(coordinators),
    coordinatorCreds: await credsOf("coordinator", COORDINATOR_PERMISSIONS),
    adminCreds: await credsOf("admin", {}),
    signingKey: signingKeyText({ account: workersId!, seed: seedOf(signing) }),
    ...{ operatorJwt, coordinatorsJwt, workersJwt },
    accountsConf: `operator: ${operatorJwt}
system_account: ${systemId}
resolver: MEMORY
resolver_preload: {
  ${systemId}: ${systemJwt}
  ${coordinatorsId}: ${coordinatorsJwt}
  ${workersId}: ${workersJwt}
}
`,
  };
}

const UNLIMITED = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: 0,
};

/** JetStream, in files; how many bytes, the server and each stream say. */
const ON_DISK = { mem_storage: 0, disk_storage: -1, streams: -1, consumer: -1 };

/** What a token leaves out counts as 0. */
const withLimits = ({ limits, ...rest }: Partial<Account>): Partial<Account> => ({
  ...rest,
  limits: { ...UNLIMITED, ...limits },
});

const pairOf = (seed: string): KeyPair => fromSeed(Buffer.from(seed.trim()));

const seedOf = (pair: KeyPair): string => Buffer.from(pair.getSeed()).toString();
