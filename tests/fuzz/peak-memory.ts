/** The most memory that this process had at a time; what inputs before had can be forgotten. */
import { openSync, readSync, writeSync } from "node:fs";

/** Linux forgets it once a 5 is written there. */
export const FORGET = "/proc/self/clear_refs";
const STATUS = "/proc/self/status";

/** Undefined where the system has no such file. */
function opened(path: string, flags: string): number | undefined {
  try {
    return openSync(path, flags);
  } catch {
    return undefined;
  }
}

const status = opened(STATUS, "r");
const forget = opened(FORGET, "w");
const text = Buffer.alloc(4096);

/** In bytes. Not `maxRSS`, where there is another: that begins with what the parent had when it started this process. */
export function peakBytes(): number {
  const length = status === undefined ? 0 : readSync(status, text, 0, text.length, 0);
  const [, kib] = /^VmHWM:\s*(\d+) kB$/m.exec(text.toString("latin1", 0, length)) ?? [];
  return 1024 * Number(kib ?? process.resourceUsage().maxRSS);
}

/** What inputs may leave behind before it is collected: the next one could use as much without taking more. */
const SLACK = 16 * 1024 ** 2;
let collected = 0;

/** Forgets what inputs before had, and answers what the process has without them. Where the system cannot forget, less of what comes later is seen. */
export function freshPeak(): number {
  const isMuch = peakBytes() > collected + SLACK;
  if (isMuch) globalThis.gc?.();
  if (forget !== undefined) writeSync(forget, "5", 0);
  const now = peakBytes();
  if (isMuch) collected = now;
  return now;
}
