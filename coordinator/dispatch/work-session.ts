import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { CoordinatorMessage, Hello, Welcome, WorkerMessage } from "../../proto/messages.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Session } from "./state.ts";
import { StreamPort } from "./stream-port.ts";

type WorkCall = ServerDuplexStream<WorkerMessage, CoordinatorMessage>;

export interface WorkSessionParts {
  readonly dispatcher: Dispatcher;
  /** Takes the bytes of a result envelope. */
  readonly receive: (bytes: Uint8Array, workerId: string) => void;
  readonly welcome: (hello: Hello) => Welcome;
  readonly logger: Logger;
}

/** Serves one `Work` stream: messages become events, decisions become messages. */
export function serveWork(call: WorkCall, parts: WorkSessionParts): void {
  const { dispatcher, logger } = parts;
  const port = new StreamPort(call, (writable) => {
    if (session !== undefined) dispatcher.handle({ kind: "writable", session, writable });
  });
  let session: Session | undefined;
  let workerId = "";

  const leave = (reason: string, isOrderly = false) => {
    if (session !== undefined) dispatcher.leave(session, reason, isOrderly);
  };
  const end = (reason: string, isOrderly = false) => {
    leave(reason, isOrderly);
    port.end();
  };
  const greet = (hello: Hello) => {
    if (dispatcher.isClosing) {
      port.send({ message: "notLeader", notLeader: { address: "" } });
      return port.end();
    }
    const reason = dispatcher.refusal(hello);
    if (reason !== undefined) {
      logger.warn({ worker: hello.workerId.slice(0, 80), reason }, "worker refused");
      port.send({ message: "refused", refused: { reason } });
      port.end();
      return;
    }
    workerId = hello.workerId;
    port.send({ message: "welcome", welcome: parts.welcome(hello) });
    session = dispatcher.join(hello, port);
  };
  const take = (message: WorkerMessage) => {
    if (session === undefined) {
      if (message.message === "hello") return greet(message.hello);
      port.send({ message: "refused", refused: { reason: "the first message must be a Hello" } });
      return port.end();
    }
    switch (message.message) {
      case "credit":
        return dispatcher.handle({ kind: "credit", session, leases: message.credit.leases });
      case "resultEnvelopes":
        for (const envelope of message.resultEnvelopes.envelopes) parts.receive(envelope, workerId);
        return;
      case "heartbeat":
        return dispatcher.handle({ kind: "heartbeat", session, ...message.heartbeat });
      case "draining":
        return dispatcher.handle({ kind: "draining", session, ...message.draining });
      case "childDied": {
        const { leaseId, reason } = message.childDied;
        return dispatcher.handle({ kind: "child-died", session, leaseId, reason });
      }
      case "goodbye":
        return end(`goodbye: ${message.goodbye.reason}`, true);
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
