import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EXIT } from "../../../coordinator/cli/errors.ts";
import { packageRoot } from "../../../proto/package-root.ts";
import { elibadHere } from "../../support/command-line.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const linesOf = (text: string) => text.split("\n").filter((line) => line !== "");

/** A `--config` file of these lines. */
function configFile(...lines: readonly string[]): string {
  const file = join(tempFolder(), "settings.yaml");
  writeFileSync(file, lines.join("\n"));
  return file;
}

test("--check-config says that a right configuration is right, and makes and listens on nothing", async () => {
  const state = join(tempFolder(), "new", "state");
  const answer = await elibadHere("coordinator", "--insecure", "--state", state, "--check-config");
  expect(answer).toEqual({ code: EXIT.done, stdout: "the configuration is right\n", stderr: "" });
  expect(existsSync(state)).toBe(false);

  const cache = join(tempFolder(), "cache");
  const worker = await elibadHere(
    ...["worker", "--coordinator", "127.0.0.1:7070,127.0.0.1:7071", "--insecure"],
    ...["--cache", cache, "--check-config"],
  );
  expect(worker).toEqual({ code: EXIT.done, stdout: "the configuration is right\n", stderr: "" });
  expect(existsSync(cache)).toBe(false);
});

test.each(["coordinator", "worker"])(
  "the example in configs/ is right for elibad %s, but for how it is protected",
  async (name) => {
    const config = join(packageRoot, "configs", `${name}.yaml`);
    expect(await elibadHere(name, "--config", config, "--insecure", "--check-config")).toMatchObject({
      code: EXIT.done,
    });
  },
);

test("all that is wrong with a coordinator's configuration is said at once: unknown keys, values, addresses, folders", async () => {
  const root = tempFolder();
  writeFileSync(join(root, "file"), "");
  const config = configFile(
    "listen: 10.0.0.5:7070",
    "jobs_in_fligth: 8",
    "recheck_rate: 2",
    "nats: http://nats:4222",
    `models: ${join(root, "nowhere")}`,
    "log_replicas: 2",
  );
  const answer = await elibadHere(
    ...["coordinator", "--config", config, "--state", join(root, "file", "state")],
    ...["--metrics-port", "66000", "--check-config"],
  );
  expect(answer.code).toBe(EXIT.wrongInput);
  expect(answer.stdout).toBe("");
  const expected = [
    `${config} line 2: unknown key 'jobs_in_fligth' (did you mean 'jobs_in_flight'?)`,
    `${config} line 3: recheck_rate 2: must be at most 1`,
    '--metrics-port "66000": must be at most 65535',
    "--listen 10.0.0.5:7070: ",
    "--nats http://nats:4222: must be nats://host:port or tls://host:port",
    "--log-replicas 2: must be 1, 3 or 5",
    `--state ${join(root, "file", "state")}: ${join(root, "file")} is a file`,
    `--models ${join(root, "nowhere")}: no such folder`,
  ].map((problem) => `elibad coordinator: ${problem}`);
  const said = linesOf(answer.stderr);
  for (const problem of expected)
    expect(
      said.filter((line) => line.startsWith(problem)),
      problem,
    ).toHaveLength(1);
  expect(said).toHaveLength(expected.length);
});

test("all that is wrong with a worker's configuration is said at once, a missing option among it", async () => {
  const root = tempFolder();
  writeFileSync(join(root, "file"), "");
  const answer = await elibadHere(
    ...["worker", "--models", join(root, "file"), "--cache", join(root, "file"), "--threads", "none"],
    "--check-config",
  );
  expect(answer.code).toBe(EXIT.wrongInput);
  expect(linesOf(answer.stderr)).toEqual([
    "elibad worker: --coordinator is missing: addresses of the coordinator, tried in turn",
    'elibad worker: --threads "none": must be a number',
    `elibad worker: --cache ${join(root, "file")}: is a file, expected a folder`,
    `elibad worker: --models ${join(root, "file")}: is a file; name the folder that it lies in`,
  ]);
});

test("a port for users needs sweeps, somebody who may ask, and no listener in between", async () => {
  const tokens = join(tempFolder(), "tokens");
  writeFileSync(tokens, `alice submitter ${"a".repeat(64)}\n`);
  const state = join(tempFolder(), "state");
  const check = (...words: readonly string[]) =>
    elibadHere("coordinator", "--insecure", ...words, "--check-config");
  const http = ["--http", "127.0.0.1:8080"];
  expect(await check("--state", state, ...http, "--http-tokens", tokens)).toMatchObject({ code: EXIT.done });
  for (const [words, problem] of [
    [
      [...http, "--http-tokens", tokens],
      "--http 127.0.0.1:8080: there are no sweeps to ask for: --state DIR",
    ],
    [
      ["--state", state, ...http],
      "--http 127.0.0.1:8080: nobody could ask there: --http-tokens FILE names who may",
    ],
    [
      ["--state", state, "--http", "0.0.0.0:8080", "--http-tokens", tokens],
      "--http 0.0.0.0:8080: other machines reach this address",
    ],
    [["--state", state, "--http-tokens", tokens], `--http-tokens ${tokens}: name the address for users, too`],
    [
      ["--state", state, ...http, "--http-tokens", `${tokens}.none`],
      `--http-tokens ${tokens}.none: no such file`,
    ],
    [
      ["--state", state, "--http", "unix:/socket", "--http-tokens", tokens],
      '--http "unix:/socket": must be host:port',
    ],
  ] as const) {
    const answer = await check(...words);
    expect(answer.code, problem).toBe(EXIT.wrongInput);
    expect(answer.stderr).toContain(`elibad coordinator: ${problem}`);
  }
});

test("a program that is started with a wrong configuration says the first of it and starts nothing", async () => {
  const state = join(tempFolder(), "state");
  const answer = await elibadHere(
    ...["coordinator", "--listen", "10.0.0.5:7070", "--state", state, "--models", "/nowhere"],
  );
  expect(answer.code).toBe(EXIT.wrongInput);
  expect(answer.stderr).toMatch(/^elibad coordinator: --listen 10\.0\.0\.5:7070: [^\n]+\n$/);
  expect(existsSync(state)).toBe(false);
});

test("a configuration file that is not there, or is no YAML, is one problem", async () => {
  for (const [file, problem] of [
    [join(tempFolder(), "none.yaml"), "no such file"],
    [configFile("a: [1", "b: 2"), "line 2"],
  ] as const) {
    const answer = await elibadHere("worker", "--config", file, "--check-config");
    expect(answer.code).toBe(EXIT.wrongInput);
    expect(linesOf(answer.stderr)).toHaveLength(1);
    expect(answer.stderr).toContain(problem);
  }
});
