/** Series as promtool reads them: values a minute apart, `0x20` is 0 and twenty times 0 again, `0+3x20` rises by 3. */
export type Series = Readonly<Record<string, string>>;

/** What makes an alert fire, and what does not although it is near. */
export interface AlertCase {
  readonly fires: Series;
  readonly quiet: Series;
  /** Minutes after the first value at which it is looked at. */
  readonly after: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly description: string;
}

const SPACE = { namespace: "elibad" };
const on = (labels: string): string => `{namespace="elibad"${labels === "" ? "" : `,${labels}`}}`;
const c = (name: string, labels = ""): string => `elibad_coordinator_${name}${on(labels)}`;
const lasting = (name: string, labels: string, values: string): Series => ({ [c(name, labels)]: values });
const leads = (...values: readonly number[]): Series =>
  Object.fromEntries(values.map((value, k) => [c("leads", `pod="c${k}"`), `${value}x120`]));
/** So many seconds take all that is measured, a hundred times a minute. */
const histogram = (name: string, seconds: "0.5" | "10"): Series => {
  const fast = seconds === "0.5" ? "0+100x60" : "0x60";
  return {
    [c(`${name}_bucket`, 'le="0.5"')]: fast,
    [c(`${name}_bucket`, 'le="1"')]: fast,
    [c(`${name}_bucket`, 'le="10"')]: "0+100x60",
    [c(`${name}_bucket`, 'le="+Inf"')]: "0+100x60",
  };
};
const waits = (operations: number): Series => ({
  [c("waiting_operations")]: `${operations}x120`,
  [c("leases")]: "0x120",
});
const workers = (count: number): Series => lasting("workers", 'state="active"', `${count}x120`);
const done = (values: string): Series => lasting("operations_total", 'kind="score",outcome="done"', values);
const onPod = (metric: string, value: string, pod: string): Series => ({
  [`${metric}{namespace="elibad",pod="${pod}",instance="${pod}"}`]: value,
});
const memory = (pod: string, bytes: number): Series => ({
  ...onPod("process_resident_memory_bytes", `${bytes}x60`, pod),
  ...onPod("elibad_memory_limit_bytes", "1000x60", pod),
});
const isCoordinator = (pod: string): Series => onPod("elibad_coordinator_leads", "1x60", pod);

/** By alert. */
export const ALERT_CASES: Readonly<Record<string, AlertCase>> = {
  ElibadCoordinatorAbsent: {
    fires: {},
    quiet: leads(0),
    after: 6,
    labels: {},
    description: "No coordinator has answered Prometheus for five minutes.",
  },
  ElibadNoLeader: {
    fires: leads(0, 0),
    quiet: leads(1, 0),
    after: 3,
    labels: SPACE,
    description:
      "Coordinators in elibad stand by, and none has taken the lead for two minutes. Sweeps stand still.",
  },
  ElibadTwoLeaders: {
    fires: leads(1, 1),
    quiet: leads(1, 0),
    after: 3,
    labels: SPACE,
    description: "2 coordinators in elibad say that they lead.",
  },
  ElibadLeadersChange: {
    fires: lasting("term", "", "4x10 5x5 6x5 7x5"),
    quiet: lasting("term", "", "4x10 5x5 6x10"),
    after: 25,
    labels: SPACE,
    description: "The coordinators' term in elibad rose by 3 within half an hour.",
  },
  ElibadCoordinatorMemory: {
    fires: { ...memory("c0", 950), ...isCoordinator("c0") },
    // A worker maps weights, and may fill its memory.
    quiet: { ...memory("c0", 800), ...memory("w0", 950), ...isCoordinator("c0") },
    after: 12,
    labels: { ...SPACE, pod: "c0" },
    description: "Coordinator c0 in elibad uses 95% of the memory that it may use.",
  },
  ElibadCoordinatorBusy: {
    fires: { ...onPod("nodejs_eventloop_lag_p99_seconds", "3x60", "c0"), ...isCoordinator("c0") },
    quiet: {
      ...onPod("nodejs_eventloop_lag_p99_seconds", "0.2x60", "c0"),
      // Somebody else's program.
      ...onPod("nodejs_eventloop_lag_p99_seconds", "3x60", "other"),
      ...isCoordinator("c0"),
    },
    after: 12,
    labels: { ...SPACE, pod: "c0" },
    description: "Coordinator c0 in elibad is busy for 3s at a time, and workers wait for it.",
  },
  ElibadVersionsDiffer: {
    fires: {
      'elibad_build_info{namespace="elibad",pod="c0",version="1",program="a"}': "1x120",
      'elibad_build_info{namespace="elibad",pod="w0",version="1",program="b"}': "1x120",
    },
    quiet: {
      'elibad_build_info{namespace="elibad",pod="c0",version="1",program="a"}': "1x120",
      'elibad_build_info{namespace="elibad",pod="w0",version="1",program="a"}': "1x120",
    },
    after: 62,
    labels: SPACE,
    description:
      "2 versions of elibad's programs run in elibad. A coordinator refuses workers of another version than its own.",
  },
  ElibadStoreFull: {
    fires: lasting("store_full", "", "0x5 1x5"),
    quiet: lasting("store_full", "", "0x10"),
    after: 8,
    labels: SPACE,
    description: "The sweeps' log in elibad has no room. Jobs wait, and lose nothing.",
  },
  ElibadStoreStuck: {
    fires: lasting("store_append_waiting_seconds", "", "0x5 60+60x5"),
    quiet: lasting("store_append_waiting_seconds", "", "20x10"),
    after: 8,
    labels: SPACE,
    description: "An append in elibad has waited for 3m 0s. Jobs wait, and lose nothing.",
  },
  ElibadStoreSlow: {
    fires: histogram("store_append_seconds", "10"),
    quiet: histogram("store_append_seconds", "0.5"),
    after: 20,
    labels: SPACE,
    description:
      "One in a hundred appends in elibad takes 9.91s or longer. Every step of a search waits for one.",
  },
  ElibadDiskFillsUp: {
    fires: { ...lasting("disk_free_bytes", "", "5x30"), ...lasting("disk_size_bytes", "", "100x30") },
    quiet: { ...lasting("disk_free_bytes", "", "15x30"), ...lasting("disk_size_bytes", "", "100x30") },
    after: 12,
    labels: SPACE,
    description: "5% of the volume of --state in elibad is free.",
  },
  ElibadUploadsFull: {
    fires: {
      ...lasting("source_bytes", 'source="uploads"', "95x30"),
      ...lasting("source_limit_bytes", 'source="uploads"', "100x30"),
    },
    // What is fetched from buckets is kept as long as there is room.
    quiet: {
      ...lasting("source_bytes", 'source="uploads"', "50x30"),
      ...lasting("source_limit_bytes", 'source="uploads"', "100x30"),
      ...lasting("source_bytes", 'source="buckets"', "100x30"),
      ...lasting("source_limit_bytes", 'source="buckets"', "100x30"),
    },
    after: 12,
    labels: SPACE,
    description: "Uploads in elibad take 95% of what they may take.",
  },
  ElibadNoWorkers: {
    fires: { ...waits(12), ...workers(0) },
    quiet: { ...waits(0), ...workers(0) },
    after: 17,
    labels: SPACE,
    description: "12 operations in elibad have waited for fifteen minutes without any worker.",
  },
  ElibadNothingMoves: {
    fires: { ...waits(12), ...workers(2), ...done("7x60") },
    quiet: { ...waits(12), ...workers(2), ...done("0+1x60") },
    after: 22,
    labels: SPACE,
    description:
      "No operation in elibad was done for a quarter of an hour, while 12 are outstanding and workers are connected.",
  },
  ElibadWorkBlocked: {
    fires: lasting("waiting_scopes", 'cause="memory"', "2x30"),
    quiet: {
      ...lasting("waiting_scopes", 'cause="turn"', "2x30"),
      ...lasting("waiting_scopes", 'cause="no-worker"', "2x30"),
      ...lasting("waiting_scopes", 'cause="memory"', "0x30"),
    },
    after: 17,
    labels: { ...SPACE, cause: "memory" },
    description: "2 jobs or commands in elibad have waited for fifteen minutes, cause memory.",
  },
  ElibadJobFailed: {
    fires: lasting("job_events_total", 'event="failed"', "0x5 1x20"),
    quiet: {
      ...lasting("job_events_total", 'event="failed"', "3x30"),
      ...lasting("job_events_total", 'event="evaluated"', "0+1x30"),
    },
    after: 12,
    labels: SPACE,
    description: "Jobs in elibad failed within the last hour. elibad sweep watch says which, and why.",
  },
  ElibadReissuesHigh: {
    fires: {
      ...lasting("leases_granted_total", 'purpose="first"', "0+100x60"),
      ...lasting("leases_ended_total", 'reason="result"', "0+75x60"),
      ...lasting("leases_ended_total", 'reason="lost"', "0+25x60"),
    },
    // What moves to an idle worker, or is overtaken by a faster one, costs nothing.
    quiet: {
      ...lasting("leases_granted_total", 'purpose="first"', "0+100x60"),
      ...lasting("leases_ended_total", 'reason="result"', "0+50x60"),
      ...lasting("leases_ended_total", 'reason="moved"', "0+30x60"),
      ...lasting("leases_ended_total", 'reason="overtaken"', "0+15x60"),
      ...lasting("leases_ended_total", 'reason="lost"', "0+5x60"),
    },
    after: 20,
    labels: SPACE,
    description: "25% of the leases in elibad ended without a result, and their operations went to others.",
  },
  ElibadWorkerSlow: {
    fires: {
      ...lasting("worker_slowness", 'worker="w1"', "1x30"),
      ...lasting("worker_slowness", 'worker="w2"', "4.5x30"),
    },
    quiet: {
      ...lasting("worker_slowness", 'worker="w1"', "1x30"),
      ...lasting("worker_slowness", 'worker="w2"', "2x30"),
    },
    after: 17,
    labels: { ...SPACE, worker: "w2" },
    description: "Worker w2 in elibad takes 4.5 times as long as the worker in the middle.",
  },
  ElibadWorkersBackOff: {
    fires: lasting("worker_backoffs_total", "", "0+1x30"),
    quiet: lasting("worker_backoffs_total", "", "0x20 1x10"),
    after: 25,
    labels: SPACE,
    description:
      "Workers in elibad were given a pause 15 times in a quarter of an hour, as they failed without finishing anything.",
  },
  ElibadInferenceDies: {
    fires: { 'elibad_worker_child_restarts_total{namespace="elibad",pod="w0",cause="died"}': "0+1x40" },
    quiet: {
      'elibad_worker_child_restarts_total{namespace="elibad",pod="w0",cause="died"}': "0x40",
      'elibad_worker_child_restarts_total{namespace="elibad",pod="w0",cause="cancelled"}': "0+1x40",
      'elibad_worker_child_restarts_total{namespace="elibad",pod="w0",cause="recycled"}': "0+1x40",
    },
    after: 35,
    labels: { ...SPACE, pod: "w0" },
    description: "The inference process of w0 in elibad died or hung 30 times in half an hour.",
  },
  ElibadWorkerDisconnected: {
    fires: onPod("elibad_worker_connected", "0x30", "w0"),
    quiet: onPod("elibad_worker_connected", "0x5 1x5 0x5 1x15", "w0"),
    after: 12,
    labels: { ...SPACE, pod: "w0" },
    description: "Worker w0 in elibad has had no coordinator for ten minutes.",
  },
  ElibadOutboxGrows: {
    fires: onPod("elibad_worker_outbox_results", "40x30", "w0"),
    quiet: onPod("elibad_worker_outbox_results", "8x30", "w0"),
    after: 12,
    labels: { ...SPACE, pod: "w0" },
    description:
      "Worker w0 in elibad keeps 40 results that the coordinator has not accepted; at 64 it takes no more work.",
  },
  ElibadNatsGone: {
    fires: lasting("nats_connected", "", "1x5 0x10"),
    quiet: lasting("nats_connected", "", "1x5 0x1 1x10"),
    after: 9,
    labels: SPACE,
    description: "The leading coordinator in elibad has had no connection to NATS for two minutes.",
  },
  ElibadResultsLate: {
    fires: histogram("result_lag_seconds", "10"),
    quiet: histogram("result_lag_seconds", "0.5"),
    after: 20,
    labels: SPACE,
    description: "One in a hundred results in elibad lies in NATS for 9.91s or longer.",
  },
  ElibadWorkerExpelled: {
    fires: lasting("workers_expelled_total", "", "0x5 1x20"),
    quiet: lasting("workers_expelled_total", "", "0x30"),
    after: 12,
    labels: SPACE,
    description: "A worker in elibad gave a result that two others contradict, and was expelled.",
  },
  ElibadJobDoubted: {
    fires: lasting("job_events_total", 'event="taken-back"', "0x5 2x20"),
    quiet: lasting("job_events_total", 'event="retried"', "0x5 2x20"),
    after: 12,
    labels: { ...SPACE, event: "taken-back" },
    description: "Jobs in elibad rest on results of an expelled worker, and were taken-back.",
  },
  ElibadBadResults: {
    fires: lasting("results_total", 'path="nats",fate="invalid"', "0x5 2x20"),
    quiet: {
      ...lasting("results_total", 'path="nats",fate="invalid"', "0x30"),
      ...lasting("results_total", 'path="nats",fate="unneeded"', "0+2x30"),
      ...lasting("results_total", 'path="nats",fate="used"', "0+9x30"),
    },
    after: 12,
    labels: { ...SPACE, fate: "invalid" },
    description: "Results in elibad were invalid and not used. The coordinator's log names the worker.",
  },
  ElibadResultsForged: {
    fires: lasting("results_total", 'path="nats",fate="forged"', "0x5 1x20"),
    quiet: lasting("results_total", 'path="nats",fate="expelled"', "0x5 1x20"),
    after: 12,
    labels: SPACE,
    description:
      "Results in elibad named another worker than the one that they came from, and were not used. The coordinator's log names both.",
  },
  ElibadNatsRefuses: {
    fires: { 'elibad_worker_nats_refusals_total{namespace="elibad",pod="w0",reason="permission"}': "0+1x30" },
    // A credential that ends while no coordinator is there for a new one.
    quiet: { 'elibad_worker_nats_refusals_total{namespace="elibad",pod="w0",reason="expired"}': "0+1x30" },
    after: 25,
    labels: { ...SPACE, pod: "w0", reason: "permission" },
    description:
      "NATS refused w0 in elibad 15 times in a quarter of an hour, reason permission. Its results come over its own stream.",
  },
  ElibadCallsRefused: {
    fires: { 'elibad_refused_calls_total{namespace="elibad",pod="c0",reason="unknown_ca"}': "0+2x30" },
    quiet: { 'elibad_refused_calls_total{namespace="elibad",pod="c0",reason="unknown_ca"}': "0x20 2x10" },
    after: 25,
    labels: { ...SPACE, reason: "unknown_ca" },
    description: "30 connections or calls in elibad were refused in a quarter of an hour, reason unknown_ca.",
  },
  ElibadCertificateExpires: {
    // Of a clock that begins at 1970, where the first value is.
    fires: onPod("elibad_certificate_expiry_timestamp_seconds", `${3 * 86_400}x30`, "w0"),
    quiet: onPod("elibad_certificate_expiry_timestamp_seconds", `${30 * 86_400}x30`, "w0"),
    after: 15,
    labels: { ...SPACE, pod: "w0" },
    description: "The certificate of w0 in elibad expires in 2d 23h 45m 0s.",
  },
  ElibadCertificatesNotTaken: {
    fires: onPod("elibad_certificates_not_taken", "1x30", "w0"),
    quiet: onPod("elibad_certificates_not_taken", "0x5 1x5 0x20", "w0"),
    after: 12,
    labels: { ...SPACE, pod: "w0" },
    description:
      "The files of certificates of w0 in elibad hold what cannot be used. Older ones stay in use until they expire.",
  },
};
