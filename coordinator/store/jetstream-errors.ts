import { NatsError } from "nats";

/** JetStream's number of an error, from its server's list; undefined where it is another error. */
export function apiErrorCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}

/** In words; the client's own message is often a number. */
export function describe(error: unknown): string {
  const { message } = error as Error;
  return (error instanceof NatsError && error.api_error?.description) || message;
}

/** "stream not found" */
export const STREAM_NOT_FOUND = 10059;

/** "no message found" */
export const NO_MESSAGE_FOUND = 10037;

/** "wrong last sequence": an expectation was not met. */
export const WRONG_LAST_SEQUENCE = 10071;

/** "stream name already in use with a different configuration" */
export const STREAM_NAME_IN_USE = 10058;

/** Insufficient resources, no storage left, and a message that the store did not take: the stream's own limit. */
export const NO_ROOM: readonly number[] = [10023, 10047, 10077];
