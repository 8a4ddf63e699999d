import type { JobsMovedMessage } from "../../../../proto/sweep-messages.ts";
import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { countText } from "../../show-sweep.ts";
import { answerOf } from "../../sweep-client.ts";
import { someJobs, sweepName, sweepOptions } from "./options.ts";

export const cancel = defineCommand({
  name: "cancel",
  summary: "cancel a sweep, or some of its jobs",
  help: `
Cancels jobs that are not over: what is committed of them stays, and elibad sweep retry goes on from there. Jobs that are done stay as they are.

  elibad sweep cancel friday --insecure
  elibad sweep cancel friday codebert-a codebert-b --insecure`,
  options: { name: sweepName, jobs: someJobs, ...sweepOptions },
  run: ({ name, jobs = [], ...place }, { signal }) =>
    callingLeader(place, signal, (calls) =>
      calls.with((client) =>
        answerOf<JobsMovedMessage>((done) => client.cancelJobs({ sweep: name, jobs }, done), signal),
      ),
    ),
  show: ({ jobs }: JobsMovedMessage) =>
    jobs === 0 ? "No job was left to cancel." : `${countText(jobs, "job")} cancelled.`,
});
