import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { freePorts } from "./free-ports.ts";
import { ensureNatsServer } from "./nats-install.mjs";
import type { SmallDisk } from "./small-disk.ts";
import { eventually } from "./worker-scenes.ts";

/** A real NATS server with JetStream on a free port, with a store of its own. */
export interface TestNatsServer {
  readonly url: string;
  /** The last lines of its log. */
  said(): string;
  /** Kills the process, as a crash does; the store stays. */
  kill(): Promise<void>;
  /** Has it read its configuration, and the certificates that it names, again. */
  reload(): Promise<void>;
  /** Makes the process stand still: connections stay, and nothing is answered. */
  hang(): void;
  /** Starts it again on the same port. `freshStore`: as if its disk was lost. */
  restart(options?: { readonly freshStore?: boolean }): Promise<void>;
  /** Ends it and removes its store. */
  stop(): Promise<void>;
}

/** Starts a server that ends with the test (or, outside of one, with `stop`). */
export async function startNatsServer({
  endsWithTest = true,
  disk,
  config,
}: {
  readonly endsWithTest?: boolean;
  /** Where its store is; absent: a temporary folder. */
  readonly disk?: SmallDisk;
  /** File of its configuration, with a store beside it; it listens elsewhere all the same. */
  readonly config?: string;
} = {}): Promise<TestNatsServer> {
  const executable = await ensureNatsServer();
  const [port, monitor] = (await freePorts(2)) as [number, number];
  const store =
    config !== undefined
      ? join(dirname(config), "store")
      : disk
        ? join(disk.folder, "nats")
        : mkdtempSync(join(tmpdir(), "elibad-nats-"));
  const settings =
    config === undefined
      ? ["--jetstream", "--store_dir", store]
      : ["--config", config, "--http_port", String(monitor)];
  const command = [...(disk?.enter ?? []), executable, ...settings];
  const said: string[] = [];
  let running = await launch(command, port, said);
  const kill = async () => {
    if (running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, "exit");
    running.kill("SIGKILL");
    await gone;
  };
  const server: TestNatsServer = {
    url: `${config === undefined ? "nats" : "tls"}://127.0.0.1:${port}`,
    said: () => said.join("\n"),
    kill,
    async reload() {
      const times = () => said.filter((line) => line.includes("Reloaded server configuration")).length;
      const before = times();
      running.kill("SIGHUP");
      await eventually(
        () => times() > before,
        `a server that read its configuration again, in\n${said.join("\n")}`,
      );
    },
    hang: () => void running.kill("SIGSTOP"),
    async restart({ freshStore = false } = {}) {
      await kill();
      if (freshStore) rmSync(join(store, "jetstream"), { recursive: true, force: true });
      running = await launch(command, port, said);
    },
    async stop() {
      await kill();
      rmSync(store, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  if (endsWithTest) onTestFinished(() => server.stop());
  return server;
}

async function launch(command: readonly string[], port: number, said: string[]): Promise<ChildProcess> {
  const [executable, ...words] = command;
  const args = [...words, "--addr", "127.0.0.1", "--port", String(port)];
  const server = spawn(executable!, args, { stdio: ["ignore", "ignore", "pipe"] });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`nats-server ended with ${code}:\n${said.join("\n")}`)));
    createInterface({ input: server.stderr! }).on("line", (line) => {
      if (said.push(line) > LINES) said.shift();
      if (line.includes("Server is ready")) resolve();
    });
  });
  return server;
}

/** Of its log, that are kept. */
const LINES = 500;
