import { resolve } from "node:path";
import { type ServiceError, status } from "@grpc/grpc-js";
import { connectToCoordinator } from "../../proto/client.ts";
import type { CommandEvent } from "../../proto/messages.ts";
import { type CommandContext, onAbort } from "./command.ts";
import { InputError } from "./errors.ts";
import type { OptionSpecs } from "./options.ts";
import type { ProgressEvent } from "./progress.ts";

/** A command that ran on a coordinator and failed there; carries the exit code that the coordinator named. */
export class RemoteFailure extends Error {
  override readonly name = "RemoteFailure";
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Options as they are sent: paths absolute, since the coordinator runs in another folder. */
export function optionsToSend(
  specs: OptionSpecs,
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const sent: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const spec = specs[name];
    if (value === undefined || spec === undefined || name === "coordinator" || name === "config") continue;
    sent[name] = spec.isPath && typeof value === "string" ? resolve(value) : value;
  }
  return sent;
}

/** Has a running coordinator do a command and shows its progress here. Aborting the signal cancels it there. */
export async function submitCommand(
  address: string,
  command: string,
  options: Readonly<Record<string, unknown>>,
  { display, signal }: CommandContext,
): Promise<unknown> {
  const client = connectToCoordinator(address);
  try {
    await new Promise<void>((done, failed) => {
      client.waitForReady(Date.now() + 5_000, (error) =>
        error ? failed(new InputError(`--coordinator ${address}: no coordinator answers there`)) : done(),
      );
    });
    return await new Promise((done, failed) => {
      const call = client.submit({ command, optionsJson: JSON.stringify(options) });
      onAbort(signal, () => call.cancel());
      call.on("data", (event: CommandEvent) => {
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
      call.on("error", (error: ServiceError) =>
        failed(
          error.code === status.CANCELLED
            ? new DOMException("cancelled", "AbortError")
            : new Error(`the coordinator at ${address} went away: ${error.details || error.message}`),
        ),
      );
      call.on("end", () => failed(new Error(`the coordinator at ${address} ended without a result`)));
    });
  } finally {
    client.close();
  }
}
