import { Counter, Registry } from "prom-client";
import { expect, onTestFinished, test } from "vitest";
import { startHealthServer } from "../../../worker/metrics/http.ts";

async function serve(notReady?: () => string | undefined) {
  const registry = new Registry();
  new Counter({ name: "elibad_test_total", help: "A counter.", registers: [registry] }).inc(3);
  const server = await startHealthServer({ port: 0, registry, notReady });
  onTestFinished(() => server.close());
  return async (path: string) => {
    const response = await fetch(`http://${server.address}${path}`);
    return { status: response.status, body: await response.text() };
  };
}

test("/metrics holds the registry's metrics, /healthz is ok", async () => {
  const get = await serve();
  expect((await get("/metrics")).body).toContain("elibad_test_total 3");
  expect(await get("/healthz")).toEqual({ status: 200, body: "ok\n" });
  expect((await get("/other")).status).toBe(404);
});

test("/readyz says why the process is not ready, and when it is", async () => {
  let reason: string | undefined = "no worker";
  const get = await serve(() => reason);
  expect(await get("/readyz")).toEqual({ status: 503, body: "no worker\n" });
  reason = undefined;
  expect(await get("/readyz")).toEqual({ status: 200, body: "ready\n" });
});

test("a port in use is an error", async () => {
  const registry = new Registry();
  const first = await startHealthServer({ port: 0, registry });
  onTestFinished(() => first.close());
  const port = Number(first.address.split(":")[1]);
  await expect(startHealthServer({ port, registry })).rejects.toThrow("EADDRINUSE");
});
