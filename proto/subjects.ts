/** Names and settings that coordinator and workers share on NATS; the broker is never the authority (see `Accepted`). */
import { DiscardPolicy, nanos, RetentionPolicy, StorageType, type StreamConfig } from "nats";
import type { Digest } from "./operations.ts";

/** Ids that may stand in a subject: 1 to 64 letters, digits, `_` and `-`. */
export const SUBJECT_TOKEN = /^[A-Za-z0-9_-]{1,64}$/;

export const RESULT_STREAM = "ELIBAD_RESULTS";

/** The bucket in which each log has the lease of its leader. */
export const LEADER_BUCKET = "ELIBAD_LEADERS";

/** What answers to coordinators begin with. */
export const COORDINATOR_INBOX = "_INBOX_coordinator";

/** What answers to a worker begin with. */
export const workerInbox = (workerId: string): string => `_INBOX_${workerId}`;

/** Every result of every worker, for whichever coordinator. */
export const ALL_RESULTS = "elibad.results.>";

/** Results of one worker, for whichever coordinator. */
export const resultSubjectsFrom = (workerId: string): string => `elibad.results.*.${workerId}`;

/** Where a worker publishes its results for one coordinator. */
export function resultSubject(coordinatorId: string, workerId: string): string {
  for (const id of [coordinatorId, workerId]) {
    if (!SUBJECT_TOKEN.test(id)) {
      throw new RangeError(
        `'${id}' cannot stand in a NATS subject: letters, digits, _ and - only, at most 64`,
      );
    }
  }
  return `elibad.results.${coordinatorId}.${workerId}`;
}

/** What a coordinator listens to: its results from any worker. */
export const resultSubjectsOf = (coordinatorId: string): string => `elibad.results.${coordinatorId}.*`;

/**
 * `msgID` of a published result: JetStream drops a second message with the same id within its window. `publication` names
 * one sending (its retries share it): the same operation may be asked for again, by this coordinator or the next, and its
 * result must then arrive again.
 */
export const resultMessageId = (fingerprint: Digest, workerId: string, publication: string): string =>
  `${fingerprint}.${workerId}.${publication}`;

/** Longest time that the stream keeps what nobody took. The workers' outboxes have it still. */
const RESULT_AGE_MS = 3_600_000;

export const RESULT_STREAM_CONFIG: Partial<StreamConfig> = {
  name: RESULT_STREAM,
  subjects: [ALL_RESULTS],
  retention: RetentionPolicy.Workqueue,
  storage: StorageType.File,
  // A full stream takes no more, and says so: what it has acknowledged stays until somebody took it, or for its age. Workers then send over their own
  // streams, and keep what nobody accepts. So a coordinator that is gone leaves so many bytes behind, for so long.
  discard: DiscardPolicy.New,
  max_age: nanos(RESULT_AGE_MS),
  max_bytes: 256 * 1024 ** 2,
  max_msg_size: 1024 ** 2,
  duplicate_window: nanos(120_000),
  num_replicas: 1,
};
