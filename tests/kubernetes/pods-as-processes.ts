import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { inTree } from "../support/image-process.ts";
import { buildImageTree, type ImageName, type ImageTree, runFromCheckout } from "../support/image-tree.ts";
import { isOurs } from "../support/manifests/command-lines.ts";
import type { ApiObject, Objects, PodSpec, Probe } from "../support/manifests/objects.ts";
import { type PlacedContainer, placePod } from "../support/manifests/pod-files.ts";
import { ensureNatsServer } from "../support/nats-install.mjs";
import { tempFolder } from "../support/temp-folder.ts";

/** A pod as the API server has it. */
export interface Pod extends ApiObject {
  readonly metadata: ApiObject["metadata"] & {
    readonly namespace: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: PodSpec & { readonly subdomain?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Pods whose programs run on this machine, each at an address of its own of the loopback network. */
export interface RunningPods {
  /** Words before a command that is to know the pods' names. */
  readonly enter: readonly string[];
  readonly coordinatorTree: ImageTree;
  readonly namespace: string;
  /** The folder of a persistent volume claim. */
  claim(name: string): string;
  /** What all programs wrote, with the pods' names. */
  log(): string;
}

interface Process {
  readonly pod: string;
  readonly placed: PlacedContainer;
  readonly address: string;
  readonly child: ChildProcess;
  written: string;
}

/** Longest time until a program's own startup or readiness probe is content. */
const READY_MS = 120_000;

/** Starts the programs of all pods at once, as nodes would, and waits until their own probes say that they are ready. They end with the test. */
export async function startPods(pods: readonly Pod[], objects: Objects): Promise<RunningPods> {
  const folder = tempFolder();
  const namespace = pods[0]!.metadata.namespace;
  const addresses = new Map(pods.map(({ metadata }, k) => [metadata.name, `127.77.0.${k + 1}`]));
  const claim = (name: string) => join(folder, "claims", name);
  const enter = knowingNames(folder, hostLines(pods, addresses));
  const trees = new Map<ImageName, ImageTree>();
  const treeOf = async (name: ImageName): Promise<ImageTree> => {
    const known = trees.get(name);
    if (known !== undefined) return known;
    const into = join(folder, "images", name);
    mkdirSync(into, { recursive: true });
    const made = await buildImageTree(name, { into, run: runFromCheckout });
    trees.set(name, made);
    return made;
  };
  const coordinatorTree = await treeOf("coordinator");
  const processes: Process[] = [];
  for (const { metadata, spec } of pods) {
    const address = addresses.get(metadata.name)!;
    const place = {
      name: metadata.name,
      namespace,
      address,
      folder: join(folder, "pods", metadata.name),
      claim,
    };
    for (const placed of placePod(spec, objects, place)) {
      const words = await wordsOf(placed, treeOf);
      const child = spawn(enter[0]!, [...enter.slice(1), ...words], {
        cwd: place.folder,
        env: {
          PATH: process.env.PATH,
          HOME: join(place.folder, "tmp"),
          TMPDIR: join(place.folder, "tmp"),
          ...placed.env,
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      processes.push(watched({ pod: metadata.name, placed, address, child, written: "" }));
    }
  }
  const log = () => processes.map(({ pod, written }) => written.replaceAll(/^/gm, `${pod}: `)).join("\n");
  for (const each of processes) {
    const { startupProbe, readinessProbe } = each.placed.container;
    for (const probe of [startupProbe, readinessProbe]) if (probe) await content(each, probe, log);
  }
  return { enter, coordinatorTree, namespace, claim, log };
}

/** A pod's command, or its image's entrypoint, and its arguments. This machine has no GPU, so workers for one compute on the CPU. */
async function wordsOf(
  { container, command, args }: PlacedContainer,
  treeOf: (name: ImageName) => Promise<ImageTree>,
): Promise<string[]> {
  if (!isOurs(container.image)) return [await ensureNatsServer(), ...args];
  const name = /elibad-([a-z-]+):/.exec(container.image)![1] as ImageName;
  const tree = await treeOf(name === "worker-cuda" ? "worker-cpu" : name);
  const words = command.length > 0 ? command : tree.entrypoint;
  return [...inTree(tree, words), ...args.map((word) => (word === "--device=cuda" ? "--device=cpu" : word))];
}

/** Every name that a cluster's DNS has for these pods: the pod's own, and that of its headless service. */
function hostLines(pods: readonly Pod[], addresses: ReadonlyMap<string, string>): string[] {
  return pods.flatMap(({ metadata: { name, namespace }, spec: { subdomain } }) =>
    subdomain === undefined
      ? []
      : [`${addresses.get(name)} ${name}.${subdomain}.${namespace}.svc ${subdomain}.${namespace}.svc`],
  );
}

/** Words before a command that sees another /etc/hosts, and no other names. */
function knowingNames(folder: string, lines: readonly string[]): readonly string[] {
  const hosts = join(folder, "hosts");
  const resolver = join(folder, "resolv.conf");
  writeFileSync(hosts, `127.0.0.1 localhost\n${lines.join("\n")}\n`);
  writeFileSync(resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
  const script = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';
  for (const namespace of [["--mount"], ["--mount", "--user", "--map-root-user"]]) {
    const enter = ["unshare", ...namespace, "sh", "-c", script, hosts, resolver];
    if (spawnSync(enter[0]!, [...enter.slice(1), "true"]).status === 0) return enter;
  }
  throw new Error(
    "this machine has no mount namespaces (unshare --mount), in which programs see names of the cluster",
  );
}

function watched(started: Process): Process {
  const { child } = started;
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (text: Buffer) => {
      started.written += text.toString();
    });
  }
  const closed = once(child, "close");
  onTestFinished(async () => {
    child.kill("SIGTERM");
    const hurry = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await closed;
    clearTimeout(hurry);
  });
  return started;
}

/** Asks as a node would, until the answer is good. */
async function content(
  { pod, placed, address, child }: Process,
  probe: Probe,
  log: () => string,
): Promise<void> {
  const { path, port } = probe.httpGet!;
  const number = placed.container.ports?.find(({ name }) => name === port)?.containerPort ?? port;
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const answer = await fetch(`http://${address}:${number}${path}`).catch(() => undefined);
    if (answer?.ok) return;
    if (child.exitCode !== null || Date.now() > deadline) {
      throw new Error(
        `${pod} does not answer its probe ${path}: ${answer?.status ?? "nobody there"}\n${log()}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
