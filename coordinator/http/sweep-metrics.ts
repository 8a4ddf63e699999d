import { statfs } from "node:fs/promises";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { startAtZero } from "../../worker/metrics/process-metrics.ts";
import type { BookListener } from "../sweep/book.ts";
import { EVENTS, type JobPhase } from "../sweep/job-state.ts";
import type { SweepsState } from "../sweep/sweep.ts";
import type { SweepLog } from "../sweep/sweep-log.ts";

const APPEND_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const PHASES = Object.keys(EVENTS) as readonly JobPhase[];
const JOB_EVENTS = [...new Set(PHASES.flatMap((phase) => EVENTS[phase]))];

/** Bytes of a folder that is kept below a bound. */
export interface Room {
  readonly bytes: number;
  readonly limit: number;
}

/** What is read when somebody asks for the metrics. */
export interface SweepReadings {
  state(): SweepsState;
  /** Nothing can be committed now, as there is no room. */
  isFull(): boolean;
  room(): Promise<Readonly<Record<"uploads" | "buckets", Room>>>;
  /** On whose file system results, artifacts and uploads lie. */
  readonly folder: string;
}

/** Metrics of a coordinator that keeps sweeps, for one term. No label grows with sweeps, jobs or models. */
export class SweepMetrics {
  readonly registry = new Registry();
  readonly #events = new Counter({
    name: "elibad_coordinator_job_events_total",
    help: "What happened to jobs of sweeps since this coordinator leads.",
    labelNames: ["event"],
    registers: [this.registry],
  });
  readonly #appends = new Histogram({
    name: "elibad_coordinator_store_append_seconds",
    help: "Seconds until an append to the sweeps' log was durable.",
    buckets: APPEND_SECONDS,
    registers: [this.registry],
  });
  /** When the append that runs now began. */
  #appendingSince: number | undefined;

  constructor(term: number) {
    startAtZero(this.#events, { event: JOB_EVENTS });
    this.#gauge(
      "term",
      "Number of this leader's reign; a higher one is a new leader, or the same one started again.",
    ).set(term);
    this.#gauge(
      "store_append_waiting_seconds",
      "Seconds for which the append that runs now has been running; 0 where none runs.",
      (gauge) => {
        const since = this.#appendingSince;
        gauge.set(since === undefined ? 0 : (performance.now() - since) / 1_000);
      },
    );
  }

  /** The same log, whose appends are measured. */
  timed(log: SweepLog): SweepLog {
    return {
      append: async (values) => {
        const since = performance.now();
        this.#appendingSince = since;
        try {
          await log.append(values);
          this.#appends.observe((performance.now() - since) / 1_000);
        } finally {
          this.#appendingSince = undefined;
        }
      },
      replay: () => log.replay(),
      snapshot: (value) => log.snapshot(value),
    };
  }

  /** Counts what happens to jobs. */
  readonly observe: BookListener = (records) => {
    for (const record of records)
      if (record.kind === "job-moved") this.#events.inc({ event: record.event.kind });
  };

  watch(readings: SweepReadings): void {
    this.#gauge(
      "store_full",
      "1 while nothing can be committed, since there is no room for the sweeps' log.",
      (gauge) => gauge.set(readings.isFull() ? 1 : 0),
    );
    new Gauge({
      name: "elibad_coordinator_jobs",
      help: "Jobs of all sweeps, by what they are at.",
      labelNames: ["phase"],
      registers: [this.registry],
      collect() {
        for (const [phase, count] of jobsByPhase(readings.state())) this.set({ phase }, count);
      },
    });
    new Gauge({
      name: "elibad_coordinator_source_bytes",
      help: "Bytes of models and samples that were uploaded or fetched from buckets.",
      labelNames: ["source"],
      registers: [this.registry],
      async collect() {
        for (const [source, room] of Object.entries(await readings.room())) this.set({ source }, room.bytes);
      },
    });
    new Gauge({
      name: "elibad_coordinator_source_limit_bytes",
      help: "Bytes that these may take: --upload-gb and --bucket-cache-gb.",
      labelNames: ["source"],
      registers: [this.registry],
      async collect() {
        for (const [source, room] of Object.entries(await readings.room())) this.set({ source }, room.limit);
      },
    });
    this.#gauge("disk_free_bytes", "Bytes that are free where --state is.", async (gauge) => {
      const { bavail, bsize } = await statfs(readings.folder);
      gauge.set(bavail * bsize);
    });
    this.#gauge("disk_size_bytes", "Size of the file system of --state.", async (gauge) => {
      const { blocks, bsize } = await statfs(readings.folder);
      gauge.set(blocks * bsize);
    });
  }

  #gauge(name: string, help: string, collect?: (gauge: Gauge) => void | Promise<void>): Gauge {
    const gauge: Gauge = new Gauge({
      name: `elibad_coordinator_${name}`,
      help,
      registers: [this.registry],
      ...(collect && { collect: () => collect(gauge) }),
    });
    return gauge;
  }
}

function jobsByPhase({ sweeps }: SweepsState): ReadonlyMap<JobPhase, number> {
  const counts = new Map(PHASES.map((phase) => [phase, 0]));
  for (const { jobs } of sweeps)
    for (const { state } of jobs) counts.set(state.phase, counts.get(state.phase)! + 1);
  return counts;
}
