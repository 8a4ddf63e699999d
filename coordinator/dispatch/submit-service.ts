import { type ServerWritableStream, status } from "@grpc/grpc-js";
import type { CommandEvent, CommandRequest } from "../../proto/messages.ts";

/** Runs a command for a client; its events go to `emit`, the last one holds the outcome. */
export type SubmitHandler = (
  request: CommandRequest,
  emit: (event: CommandEvent) => void,
  signal: AbortSignal,
) => Promise<void>;

/** Submit: one command; a client that cancels, or goes away, cancels it. */
export async function serveSubmit(
  call: ServerWritableStream<CommandRequest, CommandEvent>,
  handler: SubmitHandler | undefined,
): Promise<void> {
  if (!handler) {
    call.emit("error", {
      code: status.UNIMPLEMENTED,
      details: "this coordinator runs no commands for others",
    });
    return;
  }
  const cancelling = new AbortController();
  call.on("cancelled", () => cancelling.abort());
  try {
    const emit = (event: CommandEvent) => {
      // A client that does not take what it is told misses some of the progress, and nothing else.
      if (event.event !== "progressJson" || !call.writableNeedDrain) call.write(event);
    };
    await handler(call.request, emit, cancelling.signal);
    call.end();
  } catch (error) {
    call.emit("error", { code: status.INTERNAL, details: (error as Error).message });
  }
}
