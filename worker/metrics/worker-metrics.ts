import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { NATS_REFUSALS, type NatsRefusal } from "../../proto/nats-connection.ts";
import { OPERATION_KINDS, type OperationKind } from "../../proto/operations.ts";
import type { CacheCounts } from "../cache/artifact-cache.ts";
import { WORKER_STATES, type WorkerStateKind } from "../life.ts";
import { startAtZero } from "./process-metrics.ts";

/** Seconds of an operation: from a tile of a small model to a training step of a large one. */
const OPERATION_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
];

/** What is read when somebody asks for the metrics. */
export interface WorkerReadings {
  state(): WorkerStateKind;
  leases(): number;
  outbox(): { readonly results: number; readonly bytes: number };
  cache(): CacheCounts;
  childRssBytes(): number;
  /** Undefined before the inference child is ready. */
  provider(): string | undefined;
}

const OUTCOMES = ["done", "retryable", "failed", "cancelled", "died"] as const;
export type OperationOutcome = (typeof OUTCOMES)[number];
const CHILD_ENDS = ["died", "cancelled", "recycled", "hung"] as const;
export type ChildEnd = (typeof CHILD_ENDS)[number];

/** The worker's metrics. No label grows with sweeps, jobs or models. */
export class WorkerMetrics {
  readonly registry = new Registry();
  readonly #operations: Counter<"kind" | "outcome">;
  readonly #seconds: Histogram<"kind">;
  readonly #forwards: Counter;
  readonly #tokens: Counter;
  readonly #restarts: Counter<"cause">;
  readonly #natsReconnects: Counter;
  readonly #natsRefusals: Counter<"reason">;

  constructor(readings: WorkerReadings) {
    const registers = [this.registry];
    this.#operations = new Counter({
      name: "elibad_worker_operations_total",
      help: "Operations that ended on this worker, by kind and outcome.",
      labelNames: ["kind", "outcome"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "elibad_worker_operation_seconds",
      help: "Seconds that the device worked on an operation, by kind.",
      labelNames: ["kind"],
      buckets: OPERATION_SECONDS,
      registers,
    });
    this.#forwards = new Counter({
      name: "elibad_worker_forwards_total",
      help: "Forward passes (rows times candidates) done.",
      registers,
    });
    this.#tokens = new Counter({
      name: "elibad_worker_tokens_total",
      help: "Tokens that went through the model.",
      registers,
    });
    this.#restarts = new Counter({
      name: "elibad_worker_child_restarts_total",
      help: "Inference children that were replaced, by cause.",
      labelNames: ["cause"],
      registers,
    });
    this.#natsReconnects = new Counter({
      name: "elibad_worker_nats_reconnects_total",
      help: "Reconnections to the NATS server.",
      registers,
    });
    this.#natsRefusals = new Counter({
      name: "elibad_worker_nats_refusals_total",
      help: "What the NATS server refused this worker, by reason: permission, credential, or expired.",
      labelNames: ["reason"],
      registers,
    });
    startAtZero(this.#operations, { kind: OPERATION_KINDS, outcome: OUTCOMES });
    startAtZero(this.#restarts, { cause: CHILD_ENDS });
    startAtZero(this.#natsRefusals, { reason: NATS_REFUSALS });
    this.#readGauges(readings);
  }

  operationEnded(
    kind: OperationKind,
    outcome: OperationOutcome,
    done?: { readonly forwards: number; readonly tokens: number; readonly seconds: number },
  ): void {
    this.#operations.inc({ kind, outcome });
    if (outcome !== "done" || !done) return;
    this.#seconds.observe({ kind }, done.seconds);
    this.#forwards.inc(done.forwards);
    this.#tokens.inc(done.tokens);
  }

  childReplaced(cause: ChildEnd): void {
    this.#restarts.inc({ cause });
  }

  natsReconnected(): void {
    this.#natsReconnects.inc();
  }

  natsRefused(reason: NatsRefusal["reason"]): void {
    this.#natsRefusals.inc({ reason });
  }

  #readGauges(readings: WorkerReadings): void {
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name: `elibad_worker_${name}`,
        help,
        registers: [this.registry],
        collect() {
          this.set(read());
        },
      });
    gauge("connected", "1 while a coordinator has welcomed the worker.", () =>
      readings.state() === "serving" || readings.state() === "draining" ? 1 : 0,
    );
    gauge("leases", "Operations held and not finished.", () => readings.leases());
    gauge(
      "outbox_results",
      "Results that the coordinator has not accepted yet.",
      () => readings.outbox().results,
    );
    gauge("outbox_bytes", "Bytes of these results.", () => readings.outbox().bytes);
    gauge("cache_bytes", "Bytes of artifacts in the cache.", () => readings.cache().bytes);
    gauge("cache_artifacts", "Artifacts in the cache.", () => readings.cache().artifacts);
    gauge("child_rss_bytes", "Resident memory of the inference child.", () => readings.childRssBytes());
    const counter = (name: string, help: string, read: () => number) =>
      new Counter({
        name: `elibad_worker_${name}`,
        help,
        registers: [this.registry],
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    counter(
      "cache_hits_total",
      "Artifacts that were in the cache when an operation needed them.",
      () => readings.cache().hits,
    );
    counter("cache_misses_total", "Artifacts that had to be fetched.", () => readings.cache().misses);
    counter(
      "cache_fetched_bytes_total",
      "Bytes fetched from coordinators.",
      () => readings.cache().fetchedBytes,
    );
    new Gauge({
      name: "elibad_worker_device",
      help: "1 for the provider that the worker computes with.",
      labelNames: ["provider"],
      registers: [this.registry],
      collect() {
        this.reset();
        const provider = readings.provider();
        if (provider !== undefined) this.set({ provider }, 1);
      },
    });
    new Gauge({
      name: "elibad_worker_state",
      help: "1 for the state that the worker is in.",
      labelNames: ["state"],
      registers: [this.registry],
      collect() {
        for (const state of WORKER_STATES) this.set({ state }, state === readings.state() ? 1 : 0);
      },
    });
  }
}
