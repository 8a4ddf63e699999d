import type { JobRowMessage, SweepRowMessage } from "../../../../proto/sweep-messages.ts";
import { Name } from "../../../sweep/sweep.ts";
import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { argument } from "../../options.ts";
import { jobTable, sweepTable } from "../../show-sweep.ts";
import { eachOf } from "../../sweep-client.ts";
import { sweepOptions } from "./options.ts";

export const list = defineCommand({
  name: "list",
  summary: "list the sweeps of a coordinator, or the jobs of one",
  help: `
  elibad sweep list --insecure
  elibad sweep list friday --json --insecure`,
  options: {
    name: argument("[name]", "a sweep: its jobs are listed", Name.optional()),
    ...sweepOptions,
  },
  run: ({ name, ...place }, { signal }) =>
    callingLeader(place, signal, (calls) =>
      calls.with(async (client): Promise<SweepRowMessage[] | JobRowMessage[]> => {
        if (name === undefined) {
          const sweeps: SweepRowMessage[] = [];
          await eachOf(client.listSweeps({}), signal, (rows) => void sweeps.push(...rows.sweeps));
          return sweeps;
        }
        const jobs: JobRowMessage[] = [];
        const request = { sweep: name, once: true };
        await eachOf(client.watchSweep(request), signal, (change) => void jobs.push(...change.jobs));
        return jobs;
      }),
    ),
  show(rows: readonly SweepRowMessage[] | readonly JobRowMessage[]): string {
    const [first] = rows;
    if (first === undefined) return "There is no sweep: elibad sweep submit FILE submits one.";
    return "phase" in first
      ? jobTable(rows as readonly JobRowMessage[])
      : sweepTable(rows as readonly SweepRowMessage[]);
  },
});
