/** How much a message may hold: for those who send it, and for those who read what anybody may have sent. */

/** gRPC's own limit, in both directions; what can be larger travels in ranges or portions. */
export const MAX_MESSAGE_BYTES = 4 * 1024 ** 2;

/** Calls that one connection has open at a time. */
export const MAX_CALLS_OF_A_CONNECTION = 512;

/** A part of a device class, a version, a form: what stands in a log, a label of a metric, a key. */
export const MAX_NAME_CHARACTERS = 200;

/** Why something ended, as a peer says it: it goes on into logs, into reasons of jobs and into the sweeps' log. */
export const MAX_REASON_CHARACTERS = 2_000;

/** Leases in one heartbeat: more than any worker holds. */
export const MAX_LEASES_OF_A_WORKER = 4_096;

/** Checkpoints in a Hello: more than a cache of 50 GiB holds. */
export const MAX_CACHED_CHECKPOINTS = 10_000;

/** YAML of a sweep; what names more models has them in a list file. */
export const MAX_SWEEP_FILE_BYTES = 1024 ** 2;

/** A reason as it goes on: at most `MAX_REASON_CHARACTERS`. */
export const shortReason = (reason: string): string =>
  reason.length <= MAX_REASON_CHARACTERS ? reason : `${reason.slice(0, MAX_REASON_CHARACTERS)} …`;

/** Whether text can stand in a line of a log and a label: printable, and not too long. */
export const isShortName = (text: string): boolean =>
  text.length <= MAX_NAME_CHARACTERS && !/\p{Cc}/u.test(text);
