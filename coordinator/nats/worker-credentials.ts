import type { Logger } from "pino";
import type { CoordinatorMessage, Hello } from "../../proto/messages.ts";
import { type SigningKey, signWorkerToken } from "./signing-key.ts";

const LIFETIME_MS = 3_600_000;

/** Gives workers the credentials with which they publish their results. */
export class WorkerCredentials {
  readonly #key: () => SigningKey;
  readonly #lifetimeMs: number;
  readonly #logger: Logger;

  /** @param key asked for each credential, as it may have been exchanged */
  constructor(options: {
    readonly key: () => SigningKey;
    readonly lifetimeMs?: number | undefined;
    readonly logger: Logger;
  }) {
    this.#key = options.key;
    this.#lifetimeMs = options.lifetimeMs ?? LIFETIME_MS;
    this.#logger = options.logger;
  }

  /**
   * Sends a worker its credential, and another one when half of its time is over, until the function that is answered is called: so machines whose clocks differ by
   * less than that half understand each other. A worker whose user key is none gets nothing, and its results come over its stream.
   */
  keep(
    { workerId, natsUserKey: userKey }: Pick<Hello, "workerId" | "natsUserKey">,
    send: (message: CoordinatorMessage) => void,
  ): () => void {
    let isOver = false;
    const give = async () => {
      try {
        const untilMs = Date.now() + this.#lifetimeMs;
        const jwt = await signWorkerToken(this.#key(), { workerId, userKey, untilMs });
        if (!isOver) send({ message: "natsCredential", natsCredential: { jwt } });
      } catch (error) {
        this.#logger.warn({ worker: workerId, err: error }, "no credential for NATS could be signed");
      }
    };
    void give();
    const timer = setInterval(give, this.#lifetimeMs / 2);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }
}
