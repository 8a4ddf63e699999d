import { expect, test } from "vitest";
import { SweepMetrics } from "../../../coordinator/http/sweep-metrics.ts";
import { openSqliteLog } from "../../../coordinator/store/sqlite-log.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { metricValues } from "../../support/metric-values.ts";
import { events, sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test("the metrics of sweeps tell jobs by phase, what happened to them, the store's appends, room and term", async () => {
  const folder = tempFolder();
  const log = await openSqliteLog(`${folder}/state.db`);
  const metrics = new SweepMetrics(log.term);
  const book = await SweepBook.open(metrics.timed(log), { now: Date.now });
  book.subscribe(metrics.observe);
  metrics.watch({
    state: () => book.state,
    isFull: () => book.waiting !== undefined,
    room: async () => ({ uploads: { bytes: 3, limit: 10 }, buckets: { bytes: 4, limit: 20 } }),
    folder,
  });
  const read = async () => metricValues(await metrics.registry.metrics());
  expect((await read()).get('coordinator_job_events_total{event="failed"}')).toBe(0);

  await book.submit(sweepOf("friday", 3));
  await book.move({ sweep: "friday", job: "m0" }, events.started);
  await book.move({ sweep: "friday", job: "m1" }, events.failed);

  const values = await read();
  expect(Object.fromEntries(values)).toMatchObject({
    'coordinator_jobs{phase="queued"}': 1,
    'coordinator_jobs{phase="scanning"}': 1,
    'coordinator_jobs{phase="failed"}': 1,
    'coordinator_jobs{phase="done"}': 0,
    'coordinator_job_events_total{event="started"}': 1,
    'coordinator_job_events_total{event="failed"}': 1,
    coordinator_term: log.term,
    coordinator_store_append_seconds_count: 3,
    coordinator_store_append_waiting_seconds: 0,
    coordinator_store_full: 0,
    'coordinator_source_bytes{source="uploads"}': 3,
    'coordinator_source_limit_bytes{source="buckets"}': 20,
  });
  expect(values.get("coordinator_disk_free_bytes")).toBeGreaterThan(0);
  expect(values.get("coordinator_disk_free_bytes")).toBeLessThanOrEqual(
    values.get("coordinator_disk_size_bytes")!,
  );
  await log.close();
});

test("an append that does not end is to be seen, and not only once it did", async () => {
  const metrics = new SweepMetrics(1);
  let finish = () => {};
  const log = metrics.timed({
    append: () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
    async *replay() {},
    snapshot: async () => {},
  });
  const appended = log.append([1]);
  const waiting = async () =>
    metricValues(await metrics.registry.metrics()).get("coordinator_store_append_waiting_seconds")!;
  expect(await waiting()).toBeGreaterThan(0);
  finish();
  await appended;
  expect(await waiting()).toBe(0);
});
