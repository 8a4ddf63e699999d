import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { Registry } from "prom-client";
import { expect, onTestFinished, test } from "vitest";
import { explainJob } from "../../../coordinator/cli/explain.ts";
import { usersAnswers } from "../../../coordinator/cli/users-answers.ts";
import { authenticator } from "../../../coordinator/http/authenticate.ts";
import { TokenFile } from "../../../coordinator/http/tokens.ts";
import type { UsersApi } from "../../../coordinator/http/users-api.ts";
import { type HttpLimits, startUsersServer } from "../../../coordinator/http/users-server.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { JobHistory } from "../../../coordinator/sweep/history.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** A server over a book with one sweep, and a folder of results. */
async function scene(
  limits: Partial<HttpLimits> = {},
  answering?: (api: UsersApi) => UsersApi | { readonly leader: string },
) {
  const book = await SweepBook.open(new MemoryLog(), { now: () => 7, snapshotEvery: 20 });
  const history = new JobHistory(book, () => 7);
  await book.submit(sweepOf("friday", 2));
  const results = join(tempFolder(), "results");
  const job = join(results, "friday", "m0");
  mkdirSync(job, { recursive: true });
  writeFileSync(join(job, "result.json"), '{"searches": []}\n');
  const tokens = join(tempFolder(), "tokens");
  writeFileSync(tokens, `alice submitter ${createHash("sha256").update("secret").digest("hex")}\n`);
  const api = usersAnswers({
    book,
    explain: (id) => explainJob(id, { book, history, limit: 1, viewOf: () => undefined, now: () => 7 }),
    workers: () => [{ workerId: "w1" }],
    resultsFolder: results,
  });
  const registry = new Registry();
  const lines: string[] = [];
  const server = await startUsersServer({
    host: "127.0.0.1",
    port: 0,
    authenticate: authenticator({ tokens: new TokenFile(tokens) }),
    answering: () => answering?.(api) ?? api,
    registry,
    logger: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    limits,
    now: () => 0,
  });
  onTestFinished(() => server.close());
  const [host, port] = server.address.split(":") as [string, string];

  /** Sends the target as it stands, which `fetch` would tidy up. */
  const ask = async (
    path: string,
    { method = "GET", token = "secret", headers = {}, body = "" } = {},
  ): Promise<Answer> => {
    const authorization = token === "" ? {} : { authorization: `Bearer ${token}` };
    const asked = request({
      host,
      port,
      path,
      method,
      headers: { ...authorization, ...headers },
      agent: false,
    });
    asked.end(body);
    const [response] = await once(asked, "response");
    return { status: response.statusCode, headers: response.headers, body: await text(response) };
  };
  /** What comes back for these bytes, until the server closes the connection. */
  const raw = async (bytes: string): Promise<string> => {
    const socket = connect(Number(port), host);
    socket.on("error", () => undefined);
    socket.write(bytes);
    return text(socket);
  };
  const counted = async (outcome: string): Promise<number> => {
    const { values } = await registry.getSingleMetric("elibad_http_requests_total")!.get();
    return values.find(({ labels }) => labels.outcome === outcome)?.value ?? Number.NaN;
  };
  return { ask, raw, counted, job, results, lines, book, port: Number(port) };
}

test("a user reads sweeps, jobs, results, an explanation, workers and a job's files", async () => {
  const { ask, counted } = await scene();
  const json = async (path: string) => {
    const { status, body } = await ask(path);
    expect(status, path).toBe(200);
    return JSON.parse(body);
  };
  expect(await json("/api/v1/sweeps")).toMatchObject({
    sweeps: [{ name: "friday", jobs: 2, submittedAt: 7 }],
  });
  expect(await json("/api/v1/sweeps/friday")).toMatchObject({
    sweep: { name: "friday", phases: { queued: 2 } },
    jobs: [{ name: "m0", phase: "queued", reason: "" }, { name: "m1" }],
  });
  expect(await json("/api/v1/sweeps/friday/results")).toMatchObject({
    sweep: "friday",
    jobs: [{ name: "m0", state: "queued", report: null }, { name: "m1" }],
  });
  expect(await json("/api/v1/sweeps/friday/jobs/m0")).toMatchObject({ job: { name: "m0" } });
  expect(await json("/api/v1/workers")).toEqual({ workers: [{ workerId: "w1" }] });
  const file = await ask("/api/v1/sweeps/friday/jobs/m0/files/result.json");
  expect(file).toMatchObject({
    status: 200,
    body: '{"searches": []}\n',
    headers: { "content-disposition": 'attachment; filename="friday-m0-result.json"' },
  });
  const head = await ask("/api/v1/sweeps/friday/jobs/m0/files/result.json", { method: "HEAD" });
  expect(head).toMatchObject({ status: 200, body: "", headers: { "content-length": "17" } });
  for (const path of ["/api/v1/sweeps/saturday", "/api/v1/sweeps/friday/jobs/m9", "/", "/metrics"])
    expect(await ask(path), path).toMatchObject({ status: 404 });
  expect(await counted("answered")).toBe(7);
  expect(await counted("not_found")).toBe(4);
});

test("who sends no token, or one that is nobody's, is told nothing, is counted, and is named in the log", async () => {
  const { ask, counted, lines } = await scene();
  for (const given of [
    { token: "" },
    { token: "wrong" },
    { token: "", headers: { authorization: "Basic c2VjcmV0" } },
    { token: "", headers: { authorization: `Bearer ${"x".repeat(4000)}` } },
  ]) {
    const answer = await ask("/api/v1/sweeps", given);
    expect(answer).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
    expect(answer.body).not.toContain("friday");
  }
  expect(await ask("/nowhere", { token: "" })).toMatchObject({ status: 401 });
  expect(await counted("unauthenticated")).toBe(5);
  expect(
    lines.filter((line) =>
      /"outcome":"unauthenticated".*"peer":"127\.0\.0\.1"|"peer":"127\.0\.0\.1".*"outcome":"unauthenticated"/.test(
        line,
      ),
    ),
  ).toHaveLength(5);
  expect(lines.join()).not.toContain("wrong");
});

test("every answer carries the headers that keep it from being run, framed, guessed at or kept", async () => {
  const { ask } = await scene();
  for (const given of [{}, { token: "" }, { method: "POST" }])
    expect((await ask("/api/v1/sweeps", given)).headers).toMatchObject({
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "content-type": "application/json; charset=utf-8",
    });
});

test.each([
  "/api/v1/sweeps/friday/jobs/m0/files/../../../../../etc/passwd",
  "/api/v1/sweeps/friday/jobs/m0/files/..%2f..%2fresult.json",
  "/api/v1/sweeps/friday/jobs/m0/files/%2e%2e/m0/result.json",
  "/api/v1/sweeps/friday/jobs/m0/files/result.json%00",
  "/api/v1/sweeps/friday/jobs/m0/files/result.json?as=text",
  "/api/v1/sweeps/friday/jobs/m0/files/model.bin",
  "/api/v1/sweeps/friday/jobs/../files/result.json",
  "/api/v1/sweeps/friday/jobs/.partial/files/result.json",
  "/api/v1/sweeps/friday/jobs/m0\\..\\m0/files/result.json",
  "/api/v1/sweeps//jobs/m0/files/result.json",
  "http://127.0.0.1/api/v1/sweeps/friday/jobs/m0/files/result.json",
])("%s names no file", async (target) => {
  const { ask } = await scene();
  expect((await ask(target)).status).toBe(404);
});

test("what a link leads to, a pipe and a folder are no results", async () => {
  const { ask, job, results } = await scene();
  const outside = tempFolder();
  writeFileSync(join(outside, "result.json"), "secret of the machine");
  const ofJob = (name: string, file: string) => ask(`/api/v1/sweeps/friday/jobs/${name}/files/${file}`);

  symlinkSync(join(outside, "result.json"), join(job, "report.json"));
  execFileSync("mkfifo", [join(job, "trace.jsonl")]);
  mkdirSync(join(job, "repair.json"));
  symlinkSync(outside, join(results, "friday", "m1"));
  for (const [name, file] of [
    ["m0", "report.json"],
    ["m0", "trace.jsonl"],
    ["m0", "repair.json"],
    ["m1", "result.json"],
  ] as const)
    expect(await ofJob(name, file), file).toMatchObject({ status: 404 });
  rmSync(join(results, "friday"), { recursive: true });
  symlinkSync(outside, join(results, "friday"));
  expect(await ofJob("m0", "result.json")).toMatchObject({ status: 404 });
});

test("only GET and HEAD without a body are answered", async () => {
  const { ask, counted } = await scene();
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
    expect(await ask("/api/v1/sweeps", { method }), method).toMatchObject({
      status: 405,
      headers: { allow: "GET, HEAD" },
    });
  expect(await ask("/api/v1/sweeps", { body: "{}", headers: { "content-length": "2" } })).toMatchObject({
    status: 413,
  });
  expect(await counted("wrong_method")).toBe(6);
  expect(await counted("too_large")).toBe(1);
});

test("headers that are too large, and what is no HTTP, are refused before they are read whole", async () => {
  const { ask, raw, counted } = await scene();
  const large = await ask("/api/v1/sweeps", { headers: { "x-more": "y".repeat(10_000) } });
  expect(large).toMatchObject({ status: 431, headers: { "x-content-type-options": "nosniff" } });
  expect(await raw("\u0016\u0003\u0001 not http\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  // Two lengths of a body are how one server is made to read another request than the one before it.
  expect(
    await raw("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
  ).toMatch(/^HTTP\/1\.1 (400|413) /);
  expect(await counted("malformed")).toBeGreaterThanOrEqual(1);
});

test.each([
  ["without a host", "x-nothing: 1"],
  ["with an expectation", "host: a\r\nexpect: nothing"],
])(
  "a request %s, which node would answer by itself, gets an answer like any other",
  async (_what, header) => {
    const { raw, counted } = await scene();
    const answer = await raw(`GET /api/v1/sweeps HTTP/1.1\r\nconnection: close\r\n${header}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 401 .*x-content-type-options: nosniff/s);
    expect(await counted("unauthenticated")).toBe(1);
  },
);

test("a client that sends its request too slowly, or nothing at all, is cut off", async () => {
  const { raw, counted } = await scene({ headersMs: 300, idleMs: 1_000 });
  expect(await raw("GET /api/v1/sweeps HTTP/1.1\r\nhost: a\r\n")).toMatch(
    /^HTTP\/1\.1 408 Request Timeout\r\n/,
  );
  expect(await raw("")).toMatch(/^(HTTP\/1\.1 408 .*)?$/s);
  expect(await counted("too_slow")).toBeGreaterThanOrEqual(1);
});

test("who asks too often is told when to come again: a name over several addresses, an address with any name", async () => {
  const named = await scene({ perPrincipal: { burst: 2, perSecond: 0.1 } });
  for (const status of [200, 200, 429]) expect((await named.ask("/api/v1/sweeps")).status).toBe(status);
  expect((await named.ask("/api/v1/sweeps")).headers["retry-after"]).toBe("10");
  expect(await named.counted("rate_limited")).toBe(2);

  const addressed = await scene({ perAddress: { burst: 2, perSecond: 0.1 } });
  for (const status of [401, 401, 429])
    expect((await addressed.ask("/api/v1/sweeps", { token: "guess" })).status).toBe(status);
});

test("no more connections are held than the limit says", async () => {
  const { port, ask, counted } = await scene({ connections: 2 });
  const idle = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  await Promise.all(idle.map((socket) => once(socket, "connect")));
  await expect(ask("/api/v1/sweeps")).rejects.toThrow(/hang up|ECONNRESET/);
  expect(await counted("too_many")).toBe(1);
  for (const socket of idle) socket.destroy();
  await expect
    .poll(() =>
      ask("/api/v1/sweeps").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
});

test("a standby names the leader, and what fails inside is in the log and not in the answer", async () => {
  const standby = await scene({}, () => ({ leader: "10.0.0.5:7070" }));
  expect(await standby.ask("/api/v1/sweeps")).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
  expect(JSON.parse((await standby.ask("/api/v1/sweeps")).body)).toEqual({
    error: "this coordinator stands by: 10.0.0.5:7070 leads",
    leader: "10.0.0.5:7070",
  });

  const broken = await scene({}, (api) => ({
    ...api,
    sweeps() {
      throw new Error("the password of the store is 1234");
    },
  }));
  const { status, body } = await broken.ask("/api/v1/sweeps");
  expect(status).toBe(500);
  expect(body).not.toMatch(/1234|at .*\.ts/);
  expect(broken.lines.join()).toContain("the password of the store is 1234");
});
