import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findKustomize } from "../support/kustomize-install.mjs";
import { isBuiltIn, typeProblems } from "../support/manifests/api-types.ts";
import { refusedCommandLines } from "../support/manifests/command-lines.ts";
import { CustomResources } from "../support/manifests/custom-resources.ts";
import { uncoveredNames } from "../support/manifests/dialled-names.ts";
import type { Objects, Workload } from "../support/manifests/objects.ts";
import { danglingReferences } from "../support/manifests/references.ts";
import { certificatesIn, copyDeploy, OVERLAYS, renderOverlay } from "../support/manifests/render.ts";
import { unsafePods } from "../support/manifests/security.ts";
import { GIVEN_SECRETS, makeCertificates, withSecrets } from "../support/manifests/with-secrets.ts";
import type { OnEnd } from "../support/on-end.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp-folder.ts";

/** Where neither kubectl nor kustomize can be had, `npm test` says why before. */
const hasKustomize = findKustomize() !== undefined;

const fileEnds: Parameters<OnEnd>[0][] = [];
const atFileEnd: OnEnd = (end) => void fileEnds.push(end);
let deploy: string;

/** A copy of deploy/ with certificates, as users have it after the first command of its README. */
beforeAll(async () => {
  deploy = copyDeploy(tempFolder(atFileEnd));
  await makeCertificates(deploy);
});
afterAll(async () => {
  for (const end of fileEnds) await end();
});

describe.skipIf(!hasKustomize).each(OVERLAYS)("overlay %s", (overlay) => {
  test("has only fields and types of the API, every name in it stands for something, and its pods are safe", async () => {
    const objects = await renderOverlay(overlay, deploy);
    expect(manifestProblems(objects)).toEqual([]);
    expect(unsafePods(objects)).toEqual([]);
    expect(uncoveredNames(objects)).toEqual([]);
  });

  test.skipIf(!hasShared)("has custom resources as their definitions say", async () => {
    const custom = (await renderOverlay(overlay, deploy)).all.filter((each) => !isBuiltIn(each));
    expect(custom.flatMap((each) => definitions().problems(each))).toEqual([]);
    expect(custom.length > 0).toBe(overlay !== "local");
  });

  test("has its programs' images from where its own file says, workers on GPUs that of CUDA", async () => {
    const objects = await rewritten(overlay, `overlays/${overlay}/kustomization.yaml`, (text) =>
      text.replaceAll(
        /name: (elibad-[a-z-]+), newTag/g,
        "name: $1, newName: registry.example.org/$1, newTag",
      ),
    );
    const images = objects.workloads.flatMap(({ spec }) =>
      spec.template.spec.containers.map(({ image }) => image),
    );
    expect(images.filter((image) => !image.startsWith("nats:")).sort()).toEqual([
      "registry.example.org/elibad-coordinator:0.1.0",
      `registry.example.org/elibad-worker-${overlay === "gpu" ? "cuda" : "cpu"}:0.1.0`,
    ]);
  });

  test("gives its programs words, settings and files that they take", async () => {
    const objects = withSecrets(await renderOverlay(overlay, deploy), certificatesIn(deploy));
    expect(await refusedCommandLines(objects, tempFolder())).toEqual([]);
  });
});

test.skipIf(!hasKustomize).each(["gpu", "production"] as const)(
  "components that overlay %s names in comments can be taken, too",
  async (overlay) => {
    const objects = await rewritten(overlay, `overlays/${overlay}/kustomization.yaml`, (text) =>
      text.replaceAll("  # - ../../components/", "  - ../../components/"),
    );
    expect(manifestProblems(objects)).toEqual([]);
    expect(unsafePods(objects)).toEqual([]);
    const { spec } = objects.find<Workload>("Deployment", "worker")!.spec.template;
    const { image, resources } = spec.containers[0]!;
    expect(image).toBe("elibad-worker-cuda:0.1.0");
    const limits = resources!.limits!;
    expect(Object.keys(limits).filter((name) => name.startsWith("nvidia.com/"))).toEqual([
      overlay === "gpu" ? "nvidia.com/mig-1g.10gb" : "nvidia.com/gpu",
    ]);
    const taints = (spec as { readonly tolerations?: readonly { readonly key: string }[] }).tolerations;
    expect(taints?.map(({ key }) => key)).toEqual(
      expect.arrayContaining(["nvidia.com/gpu", "cloud.google.com/gke-spot"]),
    );
  },
);

describe.skipIf(!hasKustomize)("of a broken manifest", () => {
  test("a field that the API does not have is found, with its place", async () => {
    const objects = await broken(
      "base/worker.yaml",
      "terminationGracePeriodSeconds: 15",
      "terminationGracePeriodSecond: 15",
    );
    expect(manifestProblems(objects)).toEqual([
      "Deployment worker.spec.template.spec: has no field terminationGracePeriodSecond",
    ]);
  });

  test("a value of another type than the field's is found, with its place", async () => {
    const objects = await broken("base/coordinator.yaml", "failureThreshold: 60", 'failureThreshold: "60"');
    expect(manifestProblems(objects)).toEqual([
      'StatefulSet coordinator.spec.template.spec.containers.0.startupProbe.failureThreshold: is "60", must be number',
    ]);
  });

  test("a reference to what is not there is found, with the name that it gives", async () => {
    const objects = await broken(
      "base/coordinator.yaml",
      "{key: signing.key, path",
      "{key: signing.seed, path",
    );
    expect(manifestProblems(objects)).toEqual([
      "StatefulSet coordinator: volume nats: nats-auth has no key signing.seed",
    ]);
  });

  test("an option that a program does not have is found, with what the program says about it", async () => {
    const objects = await broken("base/worker.yaml", "--cache=/var/cache/elibad", "--cash=/var/cache/elibad");
    expect(manifestProblems(objects)).toEqual([]);
    const refused = await refusedCommandLines(withSecrets(objects, certificatesIn(deploy)), tempFolder());
    expect(refused).toEqual([
      expect.stringMatching(/^Deployment worker: container worker: .*unknown option '--cash/),
    ]);
  });

  test("a setting that a program does not know, in an overlay's own file, is found, too", async () => {
    const objects = await broken(
      "overlays/local/kustomization.yaml",
      "jobs_in_flight: 2",
      "jobs_in_fight: 2",
    );
    const refused = await refusedCommandLines(withSecrets(objects, certificatesIn(deploy)), tempFolder());
    expect(refused).toEqual([expect.stringMatching(/^StatefulSet coordinator: .*jobs_in_fight/)]);
  });

  test.skipIf(!hasShared)(
    "a field that a custom resource does not have is found, with its place",
    async () => {
      const objects = await broken(
        "components/keda/scaled-object.yaml",
        "cooldownPeriod: 30",
        "cooldown: 30",
        "gpu",
      );
      const custom = objects.all.filter((each) => !isBuiltIn(each));
      expect(custom.flatMap((each) => definitions().problems(each))).toEqual([
        expect.stringMatching(/^ScaledObject worker\.spec: .*cooldown/),
      ]);
    },
  );
});

let read: CustomResources | undefined;
/** Read once: they are long. */
function definitions(): CustomResources {
  read ??= new CustomResources(sharedPath("data", "crds"));
  return read;
}

/** What is wrong without asking the programs. */
const manifestProblems = (objects: Objects): string[] => [
  ...objects.all.filter(isBuiltIn).flatMap(typeProblems),
  ...danglingReferences(objects, GIVEN_SECRETS),
];

/** An overlay whose manifests have one text in the place of another. */
async function broken(
  file: string,
  before: string,
  after: string,
  overlay: (typeof OVERLAYS)[number] = "local",
): Promise<Objects> {
  return rewritten(overlay, file, (text) => {
    expect(text.split(before)).toHaveLength(2);
    return text.replace(before, after);
  });
}

/** An overlay with one file of deploy/ changed. */
async function rewritten(
  overlay: (typeof OVERLAYS)[number],
  file: string,
  change: (text: string) => string,
): Promise<Objects> {
  const copy = copyDeploy(tempFolder(), deploy);
  const path = join(copy, file);
  writeFileSync(path, change(readFileSync(path, "utf8")));
  return renderOverlay(overlay, copy);
}
