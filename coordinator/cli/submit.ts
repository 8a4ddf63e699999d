import { resolve } from "node:path";
import { type ServiceError, status } from "@grpc/grpc-js";
import { LEADER_KEY } from "../../proto/leader.ts";
import type { CommandEvent } from "../../proto/messages.ts";
import { type CommandContext, onAbort } from "./command.ts";
import { callingLeader, RemoteFailure } from "./leader-calls.ts";
import type { OptionSpecs } from "./options.ts";
import type { ProgressEvent } from "./progress.ts";
import { protectionOptions } from "./protection.ts";

const REFUSALS: ReadonlySet<status> = new Set([status.UNAUTHENTICATED, status.PERMISSION_DENIED]);

/** Options as they are sent: paths absolute, since the coordinator runs in another folder. */
export function optionsToSend(
  specs: OptionSpecs,
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const sent: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const spec = specs[name];
    if (value === undefined || spec === undefined || isOfThisSide(name)) continue;
    sent[name] = spec.isPath && typeof value === "string" ? resolve(value) : value;
  }
  return sent;
}

const isOfThisSide = (name: string): boolean =>
  name === "coordinator" || name === "config" || Object.hasOwn(protectionOptions, name);

/** Has a running coordinator do a command and shows its progress here. Aborting the signal cancels it there. */
export async function submitCommand(
  coordinators: Parameters<typeof callingLeader>[0],
  command: string,
  options: Readonly<Record<string, unknown>>,
  { display, signal }: CommandContext,
): Promise<unknown> {
  return callingLeader(coordinators, signal, (calls) =>
    calls.with((client, address) => {
      let hasBegun = false;
      return new Promise((done, failed) => {
        const call = client.submit({ command, optionsJson: JSON.stringify(options) });
        onAbort(signal, () => call.cancel());
        call.on("data", (event: CommandEvent) => {
          hasBegun = true;
          switch (event.event) {
            case "progressJson":
              return display.progress(JSON.parse(event.progressJson) as ProgressEvent);
            case "line":
              return display.line(event.line);
            case "resultJson":
              return done(JSON.parse(event.resultJson));
            case "failed":
              return failed(new RemoteFailure(event.failed.message, event.failed.exitCode));
          }
        });
        call.on("error", (error: ServiceError) => {
          // A standby refuses at once, as does who may not be asked. What had begun is not begun again elsewhere.
          if (!hasBegun && (error.metadata.get(LEADER_KEY).length > 0 || REFUSALS.has(error.code)))
            return failed(error);
          failed(
            error.code === status.CANCELLED
              ? new DOMException("cancelled", "AbortError")
              : new Error(`the coordinator at ${address} went away: ${error.details || error.message}`),
          );
        });
        call.on("end", () => failed(new Error(`the coordinator at ${address} ended without a result`)));
      });
    }),
  );
}
