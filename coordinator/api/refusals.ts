import type { Logger } from "pino";
import { Counter, type Registry } from "prom-client";
import type { Identity } from "../../proto/tls/identity.ts";
import { HANDSHAKE_REFUSALS } from "../dispatch/tls-gate.ts";

/** Everything that a connection or a call is refused for. */
const REFUSAL_REASONS = [...HANDSHAKE_REFUSALS, "no_identity", "wrong_role"] as const;

export interface Refusal {
  readonly reason: (typeof REFUSAL_REASONS)[number];
  readonly problem: string;
  readonly peer: string;
  readonly identity?: Identity;
  /** Absent where there was no call yet. */
  readonly method?: string;
}

/** Lines of a minute; whoever knocks at the door all day shall not fill the disk. */
const LINES_A_MINUTE = 60;
const MINUTE_MS = 60_000;

/** Counts who is refused, and logs it: each, until there are too many in a minute. */
export class Refusals {
  readonly #log: Pick<Logger, "warn">;
  readonly #now: () => number;
  readonly #counter: Counter<"reason">;
  #minute = 0;
  #lines = 0;

  constructor(registry: Registry, log: Pick<Logger, "warn">, now: () => number = Date.now) {
    this.#log = log;
    this.#now = now;
    this.#counter = new Counter({
      name: "elibad_refused_calls_total",
      help: "Connections and calls that were refused, by reason: no certificate, one of an unknown CA, an expired or otherwise bad one, no TLS at all, another failure of the handshake, a certificate without a role, or of a role that may not make the call.",
      labelNames: ["reason"],
      registers: [registry],
    });
    for (const reason of REFUSAL_REASONS) this.#counter.inc({ reason }, 0);
  }

  refused({ reason, problem, peer, identity, method }: Refusal): void {
    this.#counter.inc({ reason });
    const minute = Math.floor(this.#now() / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#lines = 0;
    }
    this.#lines++;
    if (this.#lines > LINES_A_MINUTE) return;
    const whose = identity && ("role" in identity ? identity.role : "nobody's");
    const what = method === undefined ? "a connection was refused" : "a call was refused";
    this.#log.warn(
      { peer, reason, ...(whose && { identity: whose }), ...(method && { method }) },
      `${what}: ${problem}`,
    );
    if (this.#lines === LINES_A_MINUTE)
      this.#log.warn("more refusals of this minute are counted, and not logged");
  }
}
