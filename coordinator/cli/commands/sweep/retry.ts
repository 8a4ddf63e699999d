import type { JobsMovedMessage } from "../../../../proto/sweep-messages.ts";
import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { flag, option } from "../../options.ts";
import { countText } from "../../show-sweep.ts";
import { answerOf } from "../../sweep-client.ts";
import { someJobs, sweepName, sweepOptions } from "./options.ts";

export const retry = defineCommand({
  name: "retry",
  summary: "retry jobs of a sweep that failed or were cancelled",
  help: `
They are queued again, and go on from the last step that is committed. --fresh begins them anew: where a model or its samples have changed since, or the device class that a job was begun on
is gone.

  elibad sweep retry friday --insecure
  elibad sweep retry friday codebert-a --fresh --insecure`,
  options: {
    name: sweepName,
    jobs: someJobs,
    fresh: option("--fresh", "forget what earlier attempts committed", flag),
    ...sweepOptions,
  },
  run: ({ name, jobs = [], fresh, ...place }, { signal }) =>
    callingLeader(place, signal, (calls) =>
      calls.with((client) =>
        answerOf<JobsMovedMessage>((done) => client.retryJobs({ sweep: name, jobs, fresh }, done), signal),
      ),
    ),
  show: ({ jobs }: JobsMovedMessage) =>
    jobs === 0 ? "No job failed or was cancelled." : `${countText(jobs, "job")} queued again.`,
});
