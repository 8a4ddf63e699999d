import { randomUUID } from "node:crypto";
import { connect, type JetStreamClient } from "nats";
import { afterAll, beforeAll } from "vitest";
import { natsConnectionOptions } from "../../../proto/nats-connection.ts";
import { resultMessageId } from "../../../proto/subjects.ts";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";

/** One NATS server for all tests of a file. */
export function broker() {
  let server: TestNatsServer;
  let jetstream: JetStreamClient;
  const stopping: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    server = await startNatsServer({ endsWithTest: false });
    const connection = await connect(
      natsConnectionOptions(server, { name: "test-workers", inbox: "_INBOX" }),
    );
    jetstream = connection.jetstream();
    stopping.push(
      () => connection.close(),
      () => server.stop(),
    );
  });
  afterAll(async () => {
    for (const stop of stopping) await stop();
  });

  /** As a worker does: again until the broker has it, with an id of its own for each sending. */
  async function publish(subject: string, bytes: Uint8Array): Promise<void> {
    const msgID = resultMessageId("f".repeat(64), "w", randomUUID());
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        await jetstream.publish(subject, bytes, { msgID, timeout: 500 });
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  return {
    get url(): string {
      return server.url;
    },
    publish,
  };
}
