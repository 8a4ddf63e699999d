import type { ExplanationMessage } from "../../../../proto/sweep-messages.ts";
import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { argument, text } from "../../options.ts";
import { explanationText } from "../../show-explanation.ts";
import { answerOf } from "../../sweep-client.ts";
import { sweepOptions } from "./options.ts";

export const explain = defineCommand({
  name: "explain",
  summary: "say where a job stands, and why it is not further",
  help: `
Why a job waits: its place in the queue and the limits that hold it back, or the workers that it cannot run on. What it did last, which of its operations are out and on whom, what was
taken from one worker and given to another and why, and which workers are slow.

  elibad sweep explain friday/codebert-a --insecure`,
  options: {
    job: argument(
      "<name/job>",
      "sweep and job",
      text.regex(/^[^/]+\/[^/]+$/, "must be a sweep and one of its jobs: friday/codebert-a"),
    ),
    ...sweepOptions,
  },
  run({ job: id, ...place }, { signal }) {
    const [sweep, job] = id.split("/") as [string, string];
    return callingLeader(place, signal, (calls) =>
      calls.with((client) =>
        answerOf<ExplanationMessage>((done) => client.explainJob({ sweep, job }, done), signal),
      ),
    );
  },
  show: explanationText,
});
