import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished, type TestContext } from "vitest";
import type { ImageTree } from "./image-tree.ts";
import { childrenOf } from "./processes.ts";

/** An image's program, started as an engine starts it: process 1 of its own, as the image's user where this one may choose, with the image's environment and nothing of this one's. */
export interface ImageProcess {
  /** What it wrote so far. */
  log(): string;
  /** Its process id as this machine sees it. */
  pid(): number;
  /** Exit code, or the signal that ended it. */
  exit(): Promise<number | NodeJS.Signals>;
}

/** Words before a command that make it process 1. Where Linux forbids that, the test is skipped. */
export function processOne({ task, skip }: TestContext, user: string): readonly string[] {
  const [uid, gid] = user.split(":");
  const asUser = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"];
  const namespace = ["unshare", "--pid", "--fork", "--kill-child"];
  const ways = [
    [...namespace, ...asUser],
    [...namespace, "--user", "--map-root-user"],
  ];
  const way = ways.find(([command, ...words]) => spawnSync(command!, [...words, "true"]).status === 0);
  if (way !== undefined) return way;
  task.meta.machineLacks = "process namespaces (unshare --pid)";
  return skip(task.meta.machineLacks);
}

/** Starts a tree's entrypoint with these arguments in the place of its CMD; killed when the test ends. */
export function startImage(
  tree: ImageTree,
  args: readonly string[],
  {
    enter,
    tmp,
    env = {},
  }: {
    readonly enter: readonly string[];
    readonly tmp: string;
    readonly env?: Readonly<Record<string, string>>;
  },
): ImageProcess {
  const words = [...enter, ...inTree(tree, tree.entrypoint), ...args];
  const child: ChildProcess = spawn(words[0]!, words.slice(1), {
    cwd: join(tree.root, tree.workdir),
    env: { PATH: process.env.PATH, TMPDIR: tmp, ...tree.env, HOME: tmp, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let written = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (text: Buffer) => {
      written += text.toString();
    });
  }
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  // Process 1 takes all that it started with it. It does not end with unshare itself, which another user than it may not ask for.
  const pid = () => (enter.length === 0 ? child.pid! : childrenOf(child.pid!)[0]!);
  onTestFinished(async () => {
    if (child.exitCode === null) process.kill(pid(), "SIGKILL");
    await closed;
  });
  return {
    log: () => written,
    pid,
    exit: async () => {
      const [code, signal] = await closed;
      return signal ?? code!;
    },
  };
}

/** An image's words with its paths below the tree, and this machine's node. */
export const inTree = ({ root }: ImageTree, words: readonly string[]): string[] =>
  words.map((word) =>
    word === "node" ? process.execPath : word.startsWith("/app/") ? join(root, word) : word,
  );
