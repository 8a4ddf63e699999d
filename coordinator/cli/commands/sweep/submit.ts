import { basename, resolve } from "node:path";
import type { SweepSubmittedMessage } from "../../../../proto/sweep-messages.ts";
import { type CommandContext, defineCommand } from "../../command.ts";
import { InputError } from "../../errors.ts";
import { readInputFile } from "../../input-file.ts";
import { callingLeader, type LeaderCalls } from "../../leader-calls.ts";
import { argument, flag, option, text } from "../../options.ts";
import { countText } from "../../show-sweep.ts";
import { answerOf } from "../../sweep-client.ts";
import { uploadSweep } from "../../upload-sweep.ts";
import { watchUntilOver } from "../../watch-sweep.ts";
import { sweepOptions } from "./options.ts";

export const submit = defineCommand({
  name: "submit",
  summary:
    "submit a sweep: many models of one task, each scanned, repaired and measured as elibad clean does it",
  help: `
FILE is a YAML file; configs/sweep.yaml explains every key. The coordinator reads it: paths in it are those of its machine, or of a volume that both see; relative ones begin in the
folder that this command runs in. Once it is submitted the coordinator has it, whatever ends: this command, workers, or the coordinator itself.
The same file a second time changes nothing, so that it may be submitted again where no answer came.
A model may also be s3://BUCKET/FOLDER, which the coordinator reads. With --upload, models and samples are those of this machine, and are sent to the coordinator, which needs no
volume then: what it has already is not sent, and an upload that broke off goes on where it was when the sweep is submitted again.

  elibad sweep submit friday.yaml --insecure
  elibad sweep submit friday.yaml --upload --insecure
  elibad sweep submit friday.yaml --watch --config lab.yaml      # with coordinator, tls_cert, tls_key and tls_ca`,
  options: {
    file: argument("<file>", "the sweep, as YAML", text),
    upload: option("--upload", "send models and samples that lie on this machine to the coordinator", flag),
    watch: option("--watch", "follow it until it is over, as elibad sweep watch does", flag),
    ...sweepOptions,
  },
  async run({ file, watch, upload, json, ...place }, context) {
    const local = { name: basename(file), text: readInputFile("", file), folder: resolve() };
    return callingLeader(place, context.signal, async (calls) => {
      const request = upload ? { ...local, ...(await uploadedText(local, calls, context)) } : local;
      requireOneMessage(file, request.text);
      const submitted = await calls.with((client) =>
        answerOf<SweepSubmittedMessage>((done) => client.submitSweep(request, done), context.signal),
      );
      if (!watch) return submitted;
      context.display.line(submittedLine(submitted));
      return watchUntilOver(calls, submitted.sweep.name, { json, context });
    });
  },
  show: submittedLine,
});

async function uploadedText(
  file: Parameters<typeof uploadSweep>[0],
  calls: LeaderCalls,
  context: CommandContext,
): Promise<{ readonly text: string }> {
  const { text, sentBytes, knownBytes } = await uploadSweep(file, calls, context);
  context.display.line(`${megabytes(sentBytes)} sent, ${megabytes(knownBytes)} were there already`);
  return { text };
}

/** gRPC's limit for a message is 4 MiB. @throws InputError */
function requireOneMessage(file: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > MOST_BYTES)
    throw new InputError(
      `${file}: has ${megabytes(bytes)}, and a sweep at most ${megabytes(MOST_BYTES)}: split it`,
    );
}

const MOST_BYTES = 3.5 * 1024 ** 2;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

function submittedLine({ sweep: { name, jobs }, isNew }: SweepSubmittedMessage): string {
  return isNew
    ? `sweep '${name}' is submitted: ${countText(jobs, "job")}`
    : `sweep '${name}' was there already: nothing changed`;
}
