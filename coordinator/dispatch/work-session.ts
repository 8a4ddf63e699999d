import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { MAX_LEASES_OF_A_WORKER, shortReason } from "../../proto/message-bounds.ts";
import type { CoordinatorMessage, Hello, Welcome, WorkerMessage } from "../../proto/messages.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Session } from "./state.ts";
import { StreamPort } from "./stream-port.ts";
import type { WorkerName } from "./worker-id.ts";

type WorkCall = ServerDuplexStream<WorkerMessage, CoordinatorMessage>;

export interface WorkSessionParts {
  readonly dispatcher: Dispatcher;
  /** Takes the bytes of a result envelope. */
  readonly receive: (bytes: Uint8Array, workerId: string) => void;
  /** What a worker is called. */
  readonly idOf: (hello: Hello) => WorkerName;
  readonly welcome: (workerId: string) => Welcome;
  /** A worker was welcomed; the function that is answered is called when it has left. */
  readonly welcomed?: (hello: Hello, send: (message: CoordinatorMessage) => void) => () => void;
  readonly logger: Logger;
}

/** A stream whose worker says nothing for so long after it opened it is ended. */
const HELLO_MS = 30_000;

/** Serves one `Work` stream: messages become events, decisions become messages. */
export function serveWork(call: WorkCall, parts: WorkSessionParts): void {
  const { dispatcher, logger } = parts;
  const port = new StreamPort(call, (writable) => {
    if (session !== undefined) dispatcher.handle({ kind: "writable", session, writable });
  });
  let session: Session | undefined;
  let workerId = "";
  let isOver = false;
  let farewell = () => {};

  const silence = setTimeout(() => refuse("no Hello came"), HELLO_MS).unref();

  const leave = (reason: string, isOrderly = false) => {
    clearTimeout(silence);
    farewell();
    if (session !== undefined) dispatcher.leave(session, reason, isOrderly);
  };
  const end = (reason: string, isOrderly = false) => {
    isOver = true;
    leave(reason, isOrderly);
    port.end();
  };
  const refuse = (reason: string, claimedId?: string) => {
    isOver = true;
    clearTimeout(silence);
    logger.warn({ worker: claimedId?.slice(0, 80), peer: call.getPeer(), reason }, "worker refused");
    port.send({ message: "refused", refused: { reason } });
    port.end();
  };
  const greet = (said: Hello) => {
    clearTimeout(silence);
    if (dispatcher.isClosing) {
      isOver = true;
      port.send({ message: "notLeader", notLeader: { address: "" } });
      return port.end();
    }
    const named = parts.idOf(said);
    const hello = { ...said, workerId: named.id };
    const reason = named.problem ?? dispatcher.refusal(hello);
    if (reason !== undefined) return refuse(reason, hello.workerId);
    ({ workerId } = hello);
    port.send({ message: "welcome", welcome: parts.welcome(workerId) });
    session = dispatcher.join(hello, port);
    farewell = parts.welcomed?.(hello, (message) => port.send(message)) ?? farewell;
  };
  const take = (message: WorkerMessage) => {
    // What was on its way, or is sent in spite of it.
    if (isOver) return;
    if (session === undefined) {
      if (message.message === "hello") return greet(message.hello);
      return refuse("the first message must be a Hello");
    }
    switch (message.message) {
      case "credit":
        return dispatcher.handle({ kind: "credit", session, leases: message.credit.leases });
      case "resultEnvelopes":
        if (message.resultEnvelopes.envelopes.length > MAX_LEASES_OF_A_WORKER)
          return end(`${message.resultEnvelopes.envelopes.length} results at once`);
        for (const envelope of message.resultEnvelopes.envelopes) parts.receive(envelope, workerId);
        return;
      case "heartbeat":
        if (message.heartbeat.leaseIds.length > MAX_LEASES_OF_A_WORKER)
          return end(`a heartbeat of ${message.heartbeat.leaseIds.length} leases`);
        return dispatcher.handle({ kind: "heartbeat", session, ...message.heartbeat });
      case "draining":
        if (message.draining.returnedLeaseIds.length > MAX_LEASES_OF_A_WORKER)
          return end(`gives back ${message.draining.returnedLeaseIds.length} leases`);
        return dispatcher.handle({ kind: "draining", session, ...message.draining });
      case "childDied": {
        const { leaseId, reason } = message.childDied;
        return dispatcher.handle({ kind: "child-died", session, leaseId, reason: shortReason(reason) });
      }
      case "goodbye":
        return end(`goodbye: ${shortReason(message.goodbye.reason)}`, true);
      case "hello":
        return end("a second Hello");
    }
  };
  call.on("data", (message: WorkerMessage) => {
    try {
      take(message);
    } catch (error) {
      logger.error({ worker: workerId, err: error }, "a worker's message could not be handled");
      end("an internal error");
    }
  });
  // Whatever ends the stream without a Goodbye is a lost worker: a killed process looks like an orderly end first.
  call.on("end", () => end("the stream ended without a goodbye"));
  call.on("cancelled", () => leave("the stream was cut"));
  call.on("error", (error) => leave(`the stream broke: ${error.message}`));
}
