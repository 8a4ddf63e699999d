import { mkdirSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { EXIT } from "../../../../coordinator/cli/errors.ts";
import { startElibad } from "../../../support/command-line.ts";
import { descendantsOf, noOrphans } from "../../../support/processes.ts";
import { eventually } from "../../../support/worker-scenes.ts";
import {
  contentsOf,
  expectOneLine,
  newScene,
  refuses,
  type Scene,
  scanWords,
  useGoodModel,
} from "./scene.ts";

useGoodModel();

/** A folder for temporary files of a process, to see that it leaves none. */
function ownTemp({ folder }: Scene): { TMPDIR: string } {
  const temp = join(folder, "tmp");
  mkdirSync(temp);
  return { TMPDIR: temp };
}

/** A port that somebody listens at. */
async function takenPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  onTestFinished(() => void server.close());
  return (server.address() as { port: number }).port;
}

/** onnxruntime's own switches, unset: the product has to turn its reports off, which would leave files. */
const asUsersHaveIt = { ORT_DISABLE_TELEMETRY: undefined, CI: undefined, ORT_RUNNING_UNIT_TESTS: undefined };

describe("in a process of its own", () => {
  test("wrong use ends with exit code 2 and one line", async () => {
    const run = await startElibad(["scan", "--modle", "x"]).ended();
    expect(run.code).toBe(EXIT.wrongInput);
    expectOneLine(run.stderr, ["--modle"]);
  });

  test("a reader that closes the pipe is no error", async () => {
    const run = startElibad(["scan", "--help"]);
    run.process.stdout!.destroy();
    expect(await run.ended()).toMatchObject({ code: EXIT.done, stderr: "" });
  });

  test("wrong input ends with exit code 2 and one line, before any other process starts", async () => {
    const scene = newScene();
    // The address cannot be listened at: had the cluster been started first, the line would say so.
    const words = [
      "--samples",
      join(scene.folder, "nowhere.jsonl"),
      "--listen",
      `127.0.0.1:${await takenPort()}`,
    ];
    const run = await startElibad(scanWords(scene, ...words)).ended();
    expect(run.code).toBe(EXIT.wrongInput);
    expectOneLine(run.stderr, ["nowhere.jsonl", "no such file"]);
    expect(readdirSync(scene.folder).sort()).toEqual(["model", "samples.jsonl"]);
  });

  const long = [
    "--epochs",
    "100000",
    "--patience",
    "0",
    "--target-loss",
    "0",
    "--repeat-size",
    "32",
    "--num-samples",
    "5",
  ];
  const interrupted: {
    name: string;
    signal: NodeJS.Signals;
    words: (scene: Scene) => string[];
    when: RegExp;
  }[] = [
    {
      name: "Ctrl-C during a scan",
      signal: "SIGINT",
      words: (scene) => scanWords(scene, "--trace", "--workers", "2", "--threads", "1", ...long),
      when: /: [1-9]\d*\/200000 step/,
    },
    {
      name: "SIGTERM during training",
      signal: "SIGTERM",
      words: ({ model, samples, out }) => [
        ...["train", "--base", model, "--samples", samples, "--out", out],
        ...["--code-max-len", "64", "--epochs", "10000", "--threads", "1"],
      ],
      when: /training: [1-9]/,
    },
  ];
  test.each(interrupted)(
    "$name ends everything: exit code 130, no file and no process is left",
    async (each) => {
      const scene = newScene();
      const env = ownTemp(scene);
      const run = startElibad(each.words(scene), { ...env, ...asUsersHaveIt });
      await eventually(() => each.when.test(run.stderr()), `progress (${run.stderr()})`);
      const descendants = descendantsOf(run.process.pid!);
      expect(descendants.length).toBeGreaterThanOrEqual(2); // a worker and its inference child
      run.process.kill(each.signal);
      const { code, stderr, stdout } = await run.ended();
      expect(stderr.trim().split("\n").at(-1)).toBe("elibad: interrupted");
      expect(stderr).not.toMatch(/ {4}at /);
      expect({ code, stdout }).toEqual({ code: EXIT.interrupted, stdout: "" });
      await noOrphans(descendants);
      expect(readdirSync(scene.folder).sort()).toEqual(["model", "samples.jsonl", "tmp"]);
      expect([...contentsOf(env.TMPDIR).keys()]).toEqual([]);
    },
  );
});

describe("a cluster that cannot start", () => {
  refuses([
    {
      name: "an address in use",
      words: async (scene) => scanWords(scene, "--listen", `127.0.0.1:${await takenPort()}`),
      says: ["--listen", /127\.0\.0\.1:\d+/, "in use"],
      code: EXIT.failed,
    },
    {
      name: "a metrics port in use",
      words: async (scene) => scanWords(scene, "--metrics-port", String(await takenPort())),
      says: ["--metrics-port", /\d+/, "in use"],
      code: EXIT.failed,
    },
    {
      name: "an address that is none",
      words: (scene) => scanWords(scene, "--listen", "nowhere"),
      says: ["--listen", "nowhere", "host:port"],
    },
    {
      name: "an address that other machines reach, of a command's own coordinator",
      words: (scene) => scanWords(scene, "--listen", "0.0.0.0:0"),
      says: ["--listen", "0.0.0.0:0", "elibad coordinator", "--coordinator"],
    },
    {
      name: "a certificate for a command's own coordinator",
      words: (scene) => scanWords(scene, "--tls-cert", "a.crt"),
      says: ["--tls-cert", "--coordinator"],
    },
    {
      name: "a coordinator that is told nothing of certificates",
      words: () => ["coordinator", "--listen", "127.0.0.1:0"],
      says: ["--listen", "127.0.0.1:0", "certificates", "elibad certs", "--insecure"],
    },
    {
      name: "a coordinator that others would reach in plain text",
      words: () => ["coordinator", "--listen", "0.0.0.0:0", "--insecure"],
      says: ["--listen", "0.0.0.0:0", "--insecure", "elibad certs"],
    },
    {
      name: "a coordinator on another machine, in plain text",
      words: () => ["sweep", "list", "--coordinator", "10.0.0.5:7070", "--insecure"],
      says: ["--coordinator", "10.0.0.5:7070", "--insecure", "elibad certs"],
    },
    {
      name: "a worker that is told nothing of certificates",
      words: () => ["worker", "--coordinator", "127.0.0.1:1"],
      says: ["--coordinator", "127.0.0.1:1", "--tls-cert", "elibad certs", "--insecure"],
    },
    {
      name: "a certificate without its key",
      words: () => ["sweep", "list", "--tls-cert", "a.crt", "--tls-ca", "ca.crt"],
      says: ["--tls-key", "missing"],
    },
    {
      name: "certificates, and plain text beside them",
      words: () => ["sweep", "list", "--tls-ca", "ca.crt", "--insecure"],
      says: ["--insecure", "--tls-ca"],
    },
    {
      name: "a certificate that is not there",
      words: ({ folder }) => [
        ...["sweep", "list", "--tls-cert", join(folder, "nobody.crt")],
        ...["--tls-key", join(folder, "nobody.key"), "--tls-ca", join(folder, "ca.crt")],
      ],
      says: ["--tls-cert", "nobody.crt", "no such file"],
    },
    {
      name: "a NATS server that does not answer",
      words: async (scene) => scanWords(scene, "--nats", "nats://127.0.0.1:1"),
      says: ["--nats", "nats://127.0.0.1:1"],
      code: EXIT.failed,
    },
    {
      name: "a coordinator that does not answer",
      words: (scene) => scanWords(scene, "--coordinator", "127.0.0.1:1", "--insecure"),
      says: ["--coordinator", "127.0.0.1:1", "no coordinator"],
    },
    {
      name: "a metrics port of a worker in use",
      words: async () => [
        "worker",
        "--coordinator",
        "127.0.0.1:1",
        "--insecure",
        "--metrics-port",
        String(await takenPort()),
      ],
      says: ["--metrics-port", "in use"],
      code: EXIT.failed,
    },
    {
      name: "a worker without an address to dial",
      words: () => ["worker", "--coordinator", "nowhere", "--insecure"],
      says: ["--coordinator", "nowhere", "host:port"],
    },
  ]);
});
