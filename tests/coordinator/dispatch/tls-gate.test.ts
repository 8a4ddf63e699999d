import { once } from "node:events";
import { connect } from "node:net";
import { Server } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { type RefusedConnection, TlsGate } from "../../../coordinator/dispatch/tls-gate.ts";
import { Certificates } from "../../../proto/tls/certificates.ts";
import { testAuthority } from "../../support/certificates.ts";

test("who connects and never shakes hands is cut off and reported", async () => {
  const certificates = new Certificates((await testAuthority()).paths("coordinator"), {
    refreshMs: 3_600_000,
  });
  onTestFinished(() => certificates.close());
  const refused: RefusedConnection[] = [];
  const server = new Server();
  const gate = new TlsGate(server, certificates, (each) => void refused.push(each), 300);
  onTestFinished(() => {
    gate.close();
    server.forceShutdown();
  });
  const socket = connect(await gate.listen({ host: "127.0.0.1", port: 0 }), "127.0.0.1");
  socket.resume();
  await once(socket, "close");
  expect(refused).toMatchObject([{ reason: "handshake", peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) }]);
});
