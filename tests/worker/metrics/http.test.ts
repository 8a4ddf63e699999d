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

test("probes have no body, small headers and one method, and what fails inside is told to the log alone", async () => {
  const failures: unknown[] = [];
  const server = await startHealthServer({
    port: 0,
    registry: () => {
      throw new Error("the inside of the program");
    },
    onError: (error) => void failures.push(error),
  });
  onTestFinished(() => server.close());
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`http://${server.address}${path}`, init);
    return { status: response.status, body: await response.text() };
  };
  const failed = await ask("/metrics");
  expect(failed).toEqual({ status: 500, body: "it cannot be had now; the log says why\n" });
  expect(failures).toEqual([new Error("the inside of the program")]);
  expect((await ask("/healthz", { method: "POST", body: "{}" })).status).toBe(405);
  expect((await ask("/healthz", { headers: { "x-more": "y".repeat(10_000) } })).status).toBe(431);
  expect((await ask("/healthz/more")).status).toBe(404);
  expect((await ask("/healthz?probe=1")).status).toBe(200);
});

test("a port in use is an error", async () => {
  const registry = new Registry();
  const first = await startHealthServer({ port: 0, registry });
  onTestFinished(() => first.close());
  const port = Number(first.address.split(":")[1]);
  await expect(startHealthServer({ port, registry })).rejects.toThrow("EADDRINUSE");
});
