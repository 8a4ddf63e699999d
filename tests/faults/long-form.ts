/** `npm run test:faults` runs more repetitions, real lease times and long outages; `npm test` the short form of the same tests. */
export const isLong = process.env.ELIBAD_FAULTS === "long";

/** Of a test that starts a cluster of processes; on a busy machine each takes seconds to come up. */
export const CLUSTER_TIMEOUT_MS = isLong ? 1_200_000 : 240_000;

/** A value of the short form, or that of the long one. */
export const shortOrLong = <T>(short: T, long: T): T => (isLong ? long : short);
