/** What may be said and heard on NATS, and by whom; docs/nats.md says why. */
import type { User } from "@nats-io/jwt";
import {
  COORDINATOR_INBOX,
  LEADER_BUCKET,
  RESULT_STREAM_CONFIG,
  resultSubjectsFrom,
  workerInbox,
} from "../../proto/subjects.ts";

/** A worker gives its own results, to whichever coordinator leads, and hears what JetStream says to them. */
export const workerPermissions = (workerId: string): Partial<User> => ({
  pub: { allow: [resultSubjectsFrom(workerId)] },
  sub: { allow: [`${workerInbox(workerId)}.>`] },
  // It needs one.
  subs: 8,
  payload: RESULT_STREAM_CONFIG.max_msg_size!,
  allowed_connection_types: ["STANDARD"],
});

const STREAM_CALLS = ["CREATE", "UPDATE", "INFO", "PURGE", "MSG.GET"];
const CONSUMER_CALLS = ["CREATE", "DURABLE.CREATE", "INFO", "DELETE", "MSG.NEXT"];

/** A coordinator takes results, writes the sweeps' log, and holds the lease of who leads. It deletes no stream. */
export const COORDINATOR_PERMISSIONS: Partial<User> = {
  pub: {
    allow: [
      "$JS.API.INFO",
      ...STREAM_CALLS.map((call) => `$JS.API.STREAM.${call}.*`),
      ...CONSUMER_CALLS.map((call) => `$JS.API.CONSUMER.${call}.>`),
      `$JS.API.DIRECT.GET.KV_${LEADER_BUCKET}.>`,
      "$JS.ACK.>",
      `$KV.${LEADER_BUCKET}.*`,
      "elibad.log.*",
    ],
  },
  sub: { allow: [`${COORDINATOR_INBOX}.>`] },
  allowed_connection_types: ["STANDARD"],
};
