import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { watchUntilOver } from "../../watch-sweep.ts";
import { sweepName, sweepOptions } from "./options.ts";

export const watch = defineCommand({
  name: "watch",
  summary: "follow a sweep until all of its jobs are over",
  help: `
Shows the jobs that are worked on, live on a terminal, else a line for each change; with --json each change is a line of JSON. It may be closed (Ctrl-C) and opened again at any time,
and goes on by itself when another coordinator takes over. It ends with 0 where every job is done, and with 1 where one failed or was cancelled.

  elibad sweep watch friday --insecure
  elibad sweep watch friday --insecure && elibad sweep results friday --format csv --insecure > friday.csv`,
  options: { name: sweepName, ...sweepOptions },
  run: ({ name, json, ...place }, context) =>
    callingLeader(place, context.signal, (calls) => watchUntilOver(calls, name, { json, context })),
});
