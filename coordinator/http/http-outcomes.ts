import type { Logger } from "pino";
import { Counter, type Registry } from "prom-client";
import { startAtZero } from "../../worker/metrics/process-metrics.ts";
import { RateLimit } from "./rate-limit.ts";

/** What becomes of a request; from `unauthenticated` on it is refused. */
export const OUTCOMES = [
  "answered",
  "not_found",
  "standby",
  "failed",
  "unauthenticated",
  "wrong_role",
  "rate_limited",
  "too_many",
  "wrong_method",
  "too_large",
  "malformed",
  "too_slow",
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Lines about refused requests: whoever knocks all day shall not fill the disk. */
const LOG_RATE = { burst: 60, perSecond: 1 };

/** Counts requests by what became of them, and logs those that were refused. */
export class HttpOutcomes {
  readonly #counter: Counter<"outcome">;
  readonly #log: Pick<Logger, "warn">;
  readonly #lines: RateLimit;

  constructor(registry: Registry, log: Pick<Logger, "warn">, now: () => number) {
    this.#counter = new Counter({
      name: "elibad_http_requests_total",
      help: "Requests of users over HTTP, by what became of them: answered, not found, sent on by a standby, failed, or refused and why.",
      labelNames: ["outcome"],
      registers: [registry],
    });
    startAtZero(this.#counter, { outcome: OUTCOMES });
    this.#log = log;
    this.#lines = new RateLimit(LOG_RATE, now);
  }

  count(outcome: Outcome): void {
    this.#counter.inc({ outcome });
  }

  refused(outcome: Outcome, peer: string, problem: string): void {
    this.count(outcome);
    if (this.#lines.take("") === 0) this.#log.warn({ peer, outcome, problem }, "an HTTP request was refused");
  }
}
