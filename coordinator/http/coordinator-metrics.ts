import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { NATS_REFUSALS, type NatsRefusal } from "../../proto/nats-connection.ts";
import { OPERATION_KINDS, type OperationKind, type OperationResult } from "../../proto/operations.ts";
import { collectProcessMetrics, startAtZero } from "../../worker/metrics/process-metrics.ts";
import { CHECK_OUTCOMES, type CheckOutcome, LEASE_ENDS, type LeaseEnd } from "../dispatch/events.ts";
import {
  type DispatchObserver,
  LEASE_PURPOSES,
  type LeasePurpose,
  RESULT_FATES,
  RESULT_PATHS,
  type ResultFate,
  type ResultPath,
} from "../dispatch/observer.ts";
import type { CoordinatorReadings } from "../dispatch/views.ts";

/** Seconds of an operation: from a tile of a small model to a segment of a large one's training. */
const OPERATION_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
];
const LAG_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120];
const OPERATION_OUTCOMES = ["done", "failed", "withdrawn"] as const;
const STEP_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** The coordinator's metrics. No label grows with sweeps, jobs or models; a gauge has the workers that are connected, and forgets them when they leave. */
export class CoordinatorMetrics implements DispatchObserver {
  readonly registry = new Registry();
  readonly #operations = new Counter({
    name: "elibad_coordinator_operations_total",
    help: "Operations that ended, by kind and outcome: done, failed, or withdrawn because nobody waited any more.",
    labelNames: ["kind", "outcome"],
    registers: [this.registry],
  });
  readonly #seconds = new Histogram({
    name: "elibad_coordinator_operation_seconds",
    help: "Seconds that a device worked on an operation, by kind.",
    labelNames: ["kind"],
    buckets: OPERATION_SECONDS,
    registers: [this.registry],
  });
  readonly #forwards = new Counter({
    name: "elibad_coordinator_forwards_total",
    help: "Forward passes (rows times candidates) in results that were used.",
    registers: [this.registry],
  });
  readonly #tokens = new Counter({
    name: "elibad_coordinator_tokens_total",
    help: "Tokens that went through a model, in results that were used.",
    registers: [this.registry],
  });
  readonly #leasesGranted = new Counter({
    name: "elibad_coordinator_leases_granted_total",
    help: "Leases given to workers: first ones, also those that were lost, second ones of operations that another worker is slow at, and checks of results.",
    labelNames: ["purpose"],
    registers: [this.registry],
  });
  readonly #leasesEnded = new Counter({
    name: "elibad_coordinator_leases_ended_total",
    help: "Leases that ended, by the reason; granted less ended is what is live.",
    labelNames: ["reason"],
    registers: [this.registry],
  });
  readonly #results = new Counter({
    name: "elibad_coordinator_results_total",
    help: "Results that arrived, by path and by what became of them; unneeded ones were late or duplicates, kept ones came before their operation was asked for, forged ones named another worker than the one that sent them.",
    labelNames: ["path", "fate"],
    registers: [this.registry],
  });
  readonly #keptResults = new Counter({
    name: "elibad_coordinator_kept_results_total",
    help: "Results that came before their operation was asked for, by what became of them: reused, invalid, or forgotten.",
    labelNames: ["outcome"],
    registers: [this.registry],
  });
  readonly #checks = new Counter({
    name: "elibad_coordinator_checks_total",
    help: "Results that were to be computed a second time, by what became of that: equal, different, failed, impossible since no other worker was left, or closed since nobody needed it any more.",
    labelNames: ["outcome"],
    registers: [this.registry],
  });
  readonly #expelled = new Counter({
    name: "elibad_coordinator_workers_expelled_total",
    help: "Workers from which nothing more is taken, since a result of theirs was wrong.",
    registers: [this.registry],
  });
  readonly #lag = new Histogram({
    name: "elibad_coordinator_result_lag_seconds",
    help: "Seconds from NATS having a result to its arrival here. On the gRPC stream nothing stands between.",
    buckets: LAG_SECONDS,
    registers: [this.registry],
  });
  readonly #artifactBytes = new Counter({
    name: "elibad_coordinator_artifact_bytes_total",
    help: "Bytes of artifacts sent to workers and received from them; files of a shared folder are not among them.",
    labelNames: ["direction"],
    registers: [this.registry],
  });
  readonly #backoffs = new Counter({
    name: "elibad_coordinator_worker_backoffs_total",
    help: "Times that a worker got no more leases for a while, since it failed again without finishing an operation.",
    registers: [this.registry],
  });
  readonly #reconnects = new Counter({
    name: "elibad_coordinator_nats_reconnects_total",
    help: "Reconnections to the NATS server.",
    registers: [this.registry],
  });
  readonly #natsRefusals = new Counter({
    name: "elibad_coordinator_nats_refusals_total",
    help: "What the NATS server refused this coordinator, by reason: permission, credential, or expired.",
    labelNames: ["reason"],
    registers: [this.registry],
  });
  readonly #searches = new Gauge({
    name: "elibad_coordinator_searches_running",
    help: "Searches that are running.",
    registers: [this.registry],
  });
  readonly #steps = new Histogram({
    name: "elibad_coordinator_step_seconds",
    help: "Seconds of a search step: gradient, rank, candidates, score.",
    buckets: STEP_SECONDS,
    registers: [this.registry],
  });
  readonly #settled = new Counter({
    name: "elibad_coordinator_step_forwards_total",
    help: "Candidates times samples of search steps, by what became of them: done, or pruned since the candidate could not win.",
    labelNames: ["outcome"],
    registers: [this.registry],
  });

  constructor(readings: CoordinatorReadings) {
    const registers = [this.registry];
    collectProcessMetrics(this.registry);
    startAtZero(this.#operations, { kind: OPERATION_KINDS, outcome: OPERATION_OUTCOMES });
    startAtZero(this.#leasesGranted, { purpose: LEASE_PURPOSES });
    startAtZero(this.#leasesEnded, { reason: LEASE_ENDS });
    startAtZero(this.#results, { path: RESULT_PATHS, fate: RESULT_FATES });
    startAtZero(this.#keptResults, { outcome: ["reused", "invalid", "forgotten"] });
    startAtZero(this.#checks, { outcome: CHECK_OUTCOMES });
    startAtZero(this.#natsRefusals, { reason: NATS_REFUSALS });
    startAtZero(this.#artifactBytes, { direction: ["sent", "received"] });
    startAtZero(this.#settled, { outcome: ["done", "pruned"] });
    new Gauge({
      name: "elibad_coordinator_leads",
      help: "1 where this coordinator leads, 0 where it stands by.",
      registers,
    }).set(1);
    new Gauge({
      name: "elibad_coordinator_waiting_operations",
      help: "Operations (most of them tiles) that wait for a worker.",
      registers,
      collect() {
        this.set(readings.waiting());
      },
    });
    new Gauge({
      name: "elibad_coordinator_leases",
      help: "Leases that workers hold.",
      registers,
      collect() {
        this.set(readings.leases());
      },
    });
    new Gauge({
      name: "elibad_coordinator_workers",
      help: "Workers that are connected, by state.",
      labelNames: ["state"],
      registers,
      collect() {
        for (const [state, count] of Object.entries(readings.workers())) this.set({ state }, count);
      },
    });
    new Gauge({
      name: "elibad_coordinator_waiting_scopes",
      help: "Commands and jobs with operations that wait, by what they wait for: their turn, or what no connected worker has.",
      labelNames: ["cause"],
      registers,
      collect() {
        for (const [cause, count] of Object.entries(readings.waitingScopes())) this.set({ cause }, count);
      },
    });
    new Gauge({
      name: "elibad_coordinator_worker_slowness",
      help: "What a connected worker takes for its operations, divided by what the workers take in the middle; 1 where nobody can compare.",
      labelNames: ["worker"],
      registers,
      collect() {
        this.reset();
        for (const { workerId, slowness } of readings.speeds()) this.set({ worker: workerId }, slowness ?? 1);
      },
    });
    new Gauge({
      name: "elibad_coordinator_worker_tokens_per_second",
      help: "Tokens that a connected worker's device takes through a model in a second of its work, since it joined.",
      labelNames: ["worker"],
      registers,
      collect() {
        this.reset();
        for (const { workerId, tokensPerSecond } of readings.speeds())
          this.set({ worker: workerId }, tokensPerSecond);
      },
    });
  }

  /** Shows from now on whether NATS can be reached: for coordinators that use it. */
  watchNats(isConnected: () => boolean): void {
    new Gauge({
      name: "elibad_coordinator_nats_connected",
      help: "1 while the NATS server can be reached, through which results come.",
      registers: [this.registry],
      collect() {
        this.set(isConnected() ? 1 : 0);
      },
    });
  }

  operationEnded(
    kind: OperationKind,
    outcome: (typeof OPERATION_OUTCOMES)[number],
    result?: OperationResult,
  ): void {
    this.#operations.inc({ kind, outcome });
    if (!result) return;
    this.#seconds.observe({ kind }, result.seconds);
    this.#forwards.inc(result.forwards);
    this.#tokens.inc(result.tokens);
  }

  leaseGranted(purpose: LeasePurpose): void {
    this.#leasesGranted.inc({ purpose });
  }

  leaseEnded(reason: LeaseEnd): void {
    this.#leasesEnded.inc({ reason });
  }

  resultArrived(path: ResultPath, fate: ResultFate): void {
    this.#results.inc({ path, fate });
  }

  checkEnded(outcome: CheckOutcome): void {
    this.#checks.inc({ outcome });
  }

  workerExpelled(): void {
    this.#expelled.inc();
  }

  keptResults(outcome: "reused" | "invalid" | "forgotten", results: number): void {
    this.#keptResults.inc({ outcome }, results);
  }

  resultLag(seconds: number): void {
    this.#lag.observe(seconds);
  }

  artifactMoved(direction: "sent" | "received", bytes: number): void {
    this.#artifactBytes.inc({ direction }, bytes);
  }

  workerBackedOff(): void {
    this.#backoffs.inc();
  }

  natsReconnected(): void {
    this.#reconnects.inc();
  }

  natsRefused(reason: NatsRefusal["reason"]): void {
    this.#natsRefusals.inc({ reason });
  }

  searchStarted(): void {
    this.#searches.inc();
  }

  searchEnded(): void {
    this.#searches.dec();
  }

  forwardsSettled(forwards: { readonly done: number; readonly pruned: number }): void {
    for (const outcome of ["done", "pruned"] as const) this.#settled.inc({ outcome }, forwards[outcome]);
  }

  stepDone(seconds: number): void {
    this.#steps.observe(seconds);
  }
}
