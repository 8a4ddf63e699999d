import type { SweepRemovedMessage } from "../../../../proto/sweep-messages.ts";
import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { flag, option } from "../../options.ts";
import { countText } from "../../show-sweep.ts";
import { answerOf } from "../../sweep-client.ts";
import { sweepName, sweepOptions } from "./options.ts";

export const remove = defineCommand({
  name: "remove",
  summary: "remove a sweep that is over, and its results",
  help: `
The coordinator forgets the sweep and its jobs, and removes their folders below --state and what was uploaded for them alone. --keep-results leaves the folders: another sweep of the same
name then needs them out of its way. One that is not over is refused: cancel it first. Sweeps have no owners, so a coordinator with certificates takes this from an admin's alone.

  elibad sweep remove friday --insecure
  elibad sweep remove friday --keep-results --insecure`,
  options: {
    name: sweepName,
    keepResults: option("--keep-results", "leave the jobs' folders where they are", flag),
    ...sweepOptions,
  },
  run: ({ name, keepResults, ...place }, { signal }) =>
    callingLeader(place, signal, (calls) =>
      calls.with((client) =>
        answerOf<SweepRemovedMessage>(
          (done) => client.removeSweep({ sweep: name, keepResults }, done),
          signal,
        ),
      ),
    ),
  show: ({ jobs, results }: SweepRemovedMessage) =>
    `Removed, with ${countText(jobs, "job")}${results === "" ? "" : `; the results are in ${results}`}.`,
});
