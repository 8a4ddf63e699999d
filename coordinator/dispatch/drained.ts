import { once } from "node:events";
import type { Writable } from "node:stream";

/** Until a stream takes more, or nobody reads it any more. */
export async function drained(call: Writable): Promise<void> {
  const gone = new AbortController();
  const cancelled = () => gone.abort();
  call.once("cancelled", cancelled);
  try {
    await once(call, "drain", { signal: gone.signal });
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  } finally {
    call.off("cancelled", cancelled);
  }
}
