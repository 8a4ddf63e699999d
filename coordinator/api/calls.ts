/** How the coordinator's calls are answered: with what a function gives, or with the status of what it throws. */
import type { EventEmitter } from "node:events";
import {
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Logger } from "pino";
import { type CoordinatorService, coordinatorService } from "../../proto/definition.ts";
import { drained } from "../dispatch/drained.ts";

/** What a call fails with, where the error says it itself. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: status;
  readonly metadata: Metadata | undefined;
  constructor(code: status, message: string, metadata?: Metadata) {
    super(message);
    this.code = code;
    this.metadata = metadata;
  }
}

/** Errors of other rooms that a caller can act on, by class name. */
const CODES: Readonly<Record<string, status>> = {
  InputError: status.INVALID_ARGUMENT,
  SweepExistsError: status.ALREADY_EXISTS,
  SweepNotOverError: status.FAILED_PRECONDITION,
  UnknownNameError: status.NOT_FOUND,
  LogLostError: status.UNAVAILABLE,
  SourceError: status.INVALID_ARGUMENT,
  UploadError: status.INVALID_ARGUMENT,
  UploadRoomError: status.RESOURCE_EXHAUSTED,
};

interface CallFailure {
  readonly code: status;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** What goes over the wire of an error. One that nobody expects is logged, too. */
function callFailure(error: unknown, logger: Pick<Logger, "error">): CallFailure {
  const { name, message } = error as Error;
  if (error instanceof CallError) {
    const { code, metadata } = error;
    return { code, details: message, ...(metadata && { metadata }) };
  }
  const code = CODES[name] ?? status.INTERNAL;
  if (code === status.INTERNAL) logger.error({ err: error }, "a call failed");
  return { code, details: message };
}

/** A call with one answer. */
export const unary =
  <Request, Answer>(
    answer: (request: Request) => Promise<Answer>,
    logger: Pick<Logger, "error">,
  ): handleUnaryCall<Request, Answer> =>
  (call, callback) => {
    answer(call.request).then(
      (value) => callback(null, value),
      (error: unknown) => callback(callFailure(error, logger)),
    );
  };

/** A call that is one answer to several messages; where its client is gone, reading them throws. */
export const collecting =
  <Message, Answer>(
    answer: (messages: AsyncIterable<Message>) => Promise<Answer>,
    logger: Pick<Logger, "error">,
  ): handleClientStreamingCall<Message, Answer> =>
  (call, callback) => {
    answer(call).then(
      (value) => callback(null, value),
      (error: unknown) => callback(callFailure(error, logger)),
    );
  };

/** Answers a call with messages as they come, no faster than its client takes them. */
export type Streaming<Request, Message> = (request: Request, client: AbortSignal) => AsyncIterable<Message>;

/** A call that is answered with several messages; `client` fires when nobody reads them any more. */
export const streaming =
  <Request, Message>(
    answer: Streaming<Request, Message>,
    logger: Pick<Logger, "error">,
  ): handleServerStreamingCall<Request, Message> =>
  (call) =>
    void sendAll(call, answer, logger);

async function sendAll<Request, Message>(
  call: ServerWritableStream<Request, Message>,
  answer: Streaming<Request, Message>,
  logger: Pick<Logger, "error">,
): Promise<void> {
  const client = new AbortController();
  call.on("cancelled", () => client.abort());
  try {
    for await (const message of answer(call.request, client.signal)) {
      if (client.signal.aborted) return;
      if (!call.write(message)) await drained(call);
    }
    call.end();
  } catch (error) {
    if (!client.signal.aborted) call.emit("error", callFailure(error, logger));
  }
}

type CallName = keyof CoordinatorService & string;

/** Calls that all fail, whatever they are asked. */
export function failing(names: readonly CallName[], error: () => CallError): UntypedServiceImplementation {
  const failure = (): CallFailure => callFailure(error(), { error: () => undefined });
  const stream = (call: EventEmitter) => void call.emit("error", failure());
  const single = (_: unknown, callback: (failure: CallFailure) => void) => callback(failure());
  return Object.fromEntries(
    names.map((name) => [name, coordinatorService[name]!.responseStream ? stream : single]),
  ) as UntypedServiceImplementation;
}
