import { Counter, Registry } from "prom-client";
import { expect, onTestFinished, test } from "vitest";
import { ProbeServerError, startProbeServer } from "../../../worker/metrics/probe-server.ts";

async function serve(notReady: () => string | undefined = () => undefined) {
  const registry = new Registry();
  new Counter({ name: "elibad_test_things_total", help: "Things.", registers: [registry] }).inc(3);
  const server = await startProbeServer({ registry, notReady }, { port: 0 });
  onTestFinished(server.close);
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { server, get };
}

test("metrics come in Prometheus' text form", async () => {
  const { get } = await serve();
  expect((await get("/metrics")).text).toContain("\nelibad_test_things_total 3\n");
});

test("a process that lives but does not do its work is healthy and not ready, with the reason", async () => {
  let reason: string | undefined = "no coordinator at 127.0.0.1:7411";
  const { get } = await serve(() => reason);
  expect((await get("/healthz")).status).toBe(200);
  expect(await get("/readyz")).toEqual({ status: 503, text: "no coordinator at 127.0.0.1:7411\n" });
  reason = undefined;
  expect((await get("/readyz")).status).toBe(200);
  expect((await get("/")).status).toBe(404);
});

test("a port in use is named", async () => {
  const { server } = await serve();
  const second = startProbeServer(
    { registry: new Registry(), notReady: () => undefined },
    { port: server.port },
  );
  await expect(second).rejects.toThrow(ProbeServerError);
  await expect(second).rejects.toThrow(`metrics on 127.0.0.1:${server.port}: the port is in use`);
});
