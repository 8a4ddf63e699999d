import { join } from "node:path";
import { expect, test } from "vitest";
import { testAuthority } from "../support/certificates.ts";
import { startElibad } from "../support/command-line.ts";
import { freePorts } from "../support/free-ports.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { freeAddress, startCoordinatorProcess, writeSmallSweep } from "../support/sweep-processes.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { exportedBy, unknownIn } from "./exported-metrics.ts";
import { allQueries, dashboards, queriesOf, queriesOfDashboard, recordedNames } from "./monitoring-files.ts";
import { readQuery } from "./promql.ts";

/** What a coordinator and a worker export that did a small sweep, over NATS and with certificates, as in a cluster. */
async function scrapes(): Promise<string[]> {
  const nats = await startNatsServer();
  const [coordinatorPort, workerPort] = (await freePorts(2)) as [number, number];
  const address = await freeAddress();
  const state = join(tempFolder(), "state");
  const authority = await testAuthority();
  const coordinator = startCoordinatorProcess(
    address,
    ["--state", state, "--nats", nats.url, "--metrics-port", String(coordinatorPort)],
    authority.words("coordinator"),
  );
  await coordinator.said(/leading \(/);
  startElibad([
    ...["worker", "--coordinator", address, "--threads", "1", "--metrics-port", String(workerPort)],
    ...["--cache", join(tempFolder(), "cache"), ...authority.words("worker")],
  ]);
  const file = await writeSmallSweep({ models: ["first"], epochs: 1 });
  const submit = ["sweep", "submit", file, "--coordinator", address, ...authority.words("submitter")];
  expect((await startElibad(submit).ended()).stderr).toBe("");
  await coordinator.said(/the job was (evaluated|failed)/);
  const metrics = async (port: number) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Promise.all([coordinatorPort, workerPort].map(metrics));
}

test("everything that rules, dashboards and KEDA ask for is exported by a running coordinator and worker, and a misspelt name is told", async () => {
  const exported = exportedBy(...(await scrapes()));
  const recorded = recordedNames();
  const queries = allQueries();
  expect(queries.length).toBeGreaterThan(60);
  const read = new Map(queries.map(({ place, query }) => [place, readQuery(query).selectors]));
  expect(read.get("ScaledObject")).toMatchObject([{ metric: "elibad:workers_wanted" }]);
  for (const [place, selectors] of read) expect(selectors.length, place).toBeGreaterThan(0);
  const unknown = queries.flatMap(({ place, query }) =>
    unknownIn(query, exported, recorded).map((problem) => `${place}: ${problem}`),
  );
  expect(unknown).toEqual([]);

  const broken = `kind: PrometheusRule
spec:
  groups:
    - name: broken
      rules:
        - { alert: Metric, expr: "sum by (namespace) (elibad_coordinator_operation_total) == 0" }
        - { alert: Label, expr: 'elibad_coordinator_workers{status="active"} == 0' }
        - { alert: Value, expr: 'elibad_coordinator_leases_ended_total{reason=~"lost|died"} > 0' }
        - { alert: Group, expr: "sum by (state) (elibad_coordinator_leases) > 0" }
        - { alert: Record, expr: "elibad:workers_needed > 0" }
---
kind: ScaledObject
spec: { triggers: [{ type: prometheus, metadata: { query: "max(elibad_coordinator_queue_length)" } }] }
`;
  const [dashboard] = dashboards();
  const [panel] = dashboard!.panels.filter(({ targets }) => targets !== undefined);
  const misspelt = {
    ...dashboard!,
    panels: [{ ...panel!, targets: [{ expr: "elibad_wroker_leases", refId: "A" }] }],
  };
  const told = [...queriesOf(broken), ...queriesOfDashboard(misspelt)].flatMap(({ query }) =>
    unknownIn(query, exported, recorded),
  );
  expect(told).toEqual([
    "metric 'elibad_coordinator_operation_total' is exported by nobody",
    "metric 'elibad_coordinator_workers' has no label 'status'",
    "metric 'elibad_coordinator_leases_ended_total' never has reason=\"died\"",
    "groups by 'state', which no metric in it has",
    "metric 'elibad:workers_needed' is exported by nobody",
    "metric 'elibad_coordinator_queue_length' is exported by nobody",
    "metric 'elibad_wroker_leases' is exported by nobody",
  ]);
});
