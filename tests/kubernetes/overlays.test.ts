import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiObject, Objects, type Workload } from "../support/manifests/objects.ts";
import {
  certificatesIn,
  copyDeploy,
  OVERLAYS,
  parseManifests,
  renderText,
} from "../support/manifests/render.ts";
import { makeCertificates, withSecrets } from "../support/manifests/with-secrets.ts";
import type { OnEnd } from "../support/on-end.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";
import { TestCluster } from "./cluster.ts";
import { type Pod, startPods } from "./pods-as-processes.ts";
import { runSweep } from "./sweep-on-pods.ts";
import { volumesFor } from "./volumes.ts";

const NAMESPACE = "elibad";
/** The API server says this of every headless Service, where nobody asked for session affinity. */
const SAID_OF_HEADLESS = "spec.SessionAffinity is ignored for headless services";

const fileEnds: Parameters<OnEnd>[0][] = [];
let cluster: TestCluster;
let deploy: string;

beforeAll(async () => {
  const onEnd: OnEnd = (end) => void fileEnds.push(end);
  cluster = TestCluster.start(onEnd);
  if (cluster.kubectl(["get", "namespace", NAMESPACE]).code === 0) {
    throw new Error(
      `the cluster has a namespace ${NAMESPACE} already; these tests make theirs and remove it`,
    );
  }
  cluster.addCustomResources(onEnd);
  deploy = copyDeploy(tempFolder(onEnd));
  await makeCertificates(deploy);
});
afterAll(async () => {
  for (const end of fileEnds.reverse()) await end();
});

describe.each(OVERLAYS)("overlay %s", (overlay) => {
  let text: string;
  let objects: Objects;

  beforeAll(async () => {
    text = await renderText(overlay, deploy);
    objects = new Objects(parseManifests(text));
    const volumes = cluster.isSimulated ? volumesFor(objects) : [];
    if (volumes.length > 0) cluster.apply(listOf(volumes));
  });
  afterAll(() => {
    cluster.kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
    cluster.kubectl(["delete", "persistentvolume", "--selector", "elibad.io/test=true"]);
  });

  test("is taken by the API server with strict validation and without a warning, in a namespace that enforces `restricted`", () => {
    const { stdout, stderr } = cluster.apply(text);
    expect(stderr.split("\n").filter((line) => line !== "" && !line.includes(SAID_OF_HEADLESS))).toEqual([]);
    expect(stdout.trim().split("\n")).toHaveLength(objects.all.length);
    const added = withSecrets(objects, certificatesIn(deploy)).all.slice(objects.all.length);
    if (added.length > 0) cluster.apply(listOf(added));
    const careless = [
      "run",
      "careless",
      "--image=busybox:1.37.0",
      "--namespace",
      NAMESPACE,
      "--dry-run=server",
    ];
    expect(cluster.kubectl(careless).stderr).toContain('violates PodSecurity "restricted:latest"');
  });

  test("has all its pods scheduled and Ready, those with a GPU on the node that has some", () => {
    for (const workload of objects.workloads) rolledOut(workload);
    const pods = livingPods();
    const wanted = objects.workloads.reduce((sum, { spec }) => sum + (spec.replicas ?? 1), 0);
    expect(pods).toHaveLength(wanted);
    const gpuNodes = cluster
      .do(
        "get",
        "nodes",
        "--selector",
        "nvidia.com/gpu.present=true",
        "--output",
        "jsonpath={.items[*].metadata.name}",
      )
      .split(" ");
    for (const { metadata, spec } of pods) {
      const hasGpu = spec.containers.some(({ resources }) => resources?.limits?.["nvidia.com/gpu"] === "1");
      expect(hasGpu, metadata.name).toBe(overlay === "gpu" && metadata.name.startsWith("worker-"));
      if (hasGpu) expect(gpuNodes).toContain(spec.nodeName);
    }
  });

  test("runs a sweep to its end: the pods' own commands, settings, secrets and certificates, read back from the API server, start the real programs", async () => {
    const there = new Objects([...["configmaps", "secrets", "namespaces"].flatMap((kind) => read(kind))]);
    const running = await startPods(livingPods(), there);
    await runSweep(running, there);
  });

  test("rolls out anew, scales up and down, and comes back", () => {
    for (const workload of objects.workloads) {
      cluster.do("rollout", "restart", reference(workload), "--namespace", NAMESPACE);
      rolledOut(workload);
    }
    const worker = objects.find<Workload>("Deployment", "worker")!;
    for (const count of [4, 0, worker.spec.replicas ?? 1]) {
      cluster.do("scale", "deployment/worker", `--replicas=${count}`, "--namespace", NAMESPACE);
      rolledOut(worker);
      const ofWorker = () => livingPods().filter(({ metadata }) => metadata.name.startsWith("worker-"));
      expect(ofWorker()).toHaveLength(count);
    }
  });

  test("loses one pod of each stateful set to a drained node, and no second one before that is back", async () => {
    cluster.do("cordon", "--selector", "kubernetes.io/os=linux");
    try {
      for (const { metadata, spec } of objects.ofKind<Workload>("StatefulSet")) {
        expect(evict(`${metadata.name}-0`).code, metadata.name).toBe(0);
        if ((spec.replicas ?? 1) === 1) continue;
        await eventually(() => !isReady(`${metadata.name}-0`), "a pod that went");
        expect(evict(`${metadata.name}-1`).stderr).toContain("violate the pod's disruption budget");
      }
    } finally {
      cluster.do("uncordon", "--selector", "kubernetes.io/os=linux");
    }
    for (const workload of objects.workloads) rolledOut(workload);
  });

  test("is removed with nothing left", () => {
    const { code, stderr } = cluster.kubectl(["delete", "--filename", "-", "--timeout=300s"], text);
    expect([code, stderr]).toEqual([0, ""]);
    expect(cluster.kubectl(["get", "namespace", NAMESPACE]).stderr).toContain("not found");
    const kinds = cluster.do("api-resources", "--verbs=list", "--output=name").trim().split("\n");
    const left = kinds
      .filter((kind) => !/^(events|persistentvolumes)/.test(kind))
      .flatMap((kind) =>
        cluster
          .kubectl([
            "get",
            kind,
            "--all-namespaces",
            "--selector",
            "app.kubernetes.io/part-of=elibad",
            "--output=name",
          ])
          .stdout.trim(),
      );
    expect(left.filter((line) => line !== "")).toEqual([]);
  });
});

const listOf = (items: readonly ApiObject[]): string =>
  JSON.stringify({ apiVersion: "v1", kind: "List", items });

const reference = ({ kind, metadata }: ApiObject): string => `${kind.toLowerCase()}/${metadata.name}`;

function rolledOut(workload: Workload): void {
  cluster.do("rollout", "status", reference(workload), "--namespace", NAMESPACE, "--timeout=400s");
}

/** Those that are not on their way out. */
const livingPods = (): Pod[] =>
  cluster.list<Pod>("pods", NAMESPACE).filter(({ metadata }) => metadata.deletionTimestamp === undefined);

function isReady(name: string): boolean {
  const pod = livingPods().find(({ metadata }) => metadata.name === name);
  return pod?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** What kubectl drain asks for. */
function evict(name: string) {
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace: NAMESPACE } };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`;
  return cluster.kubectl(["create", "--raw", path, "--filename", "-"], JSON.stringify(eviction));
}

const KINDS: Readonly<Record<string, string>> = {
  configmaps: "ConfigMap",
  secrets: "Secret",
  namespaces: "Namespace",
};

const read = (kind: string): ApiObject[] =>
  cluster
    .list(kind, NAMESPACE)
    .filter(({ metadata }) => kind !== "namespaces" || metadata.name === NAMESPACE)
    .map((item) => ({ ...item, kind: KINDS[kind]! }));
