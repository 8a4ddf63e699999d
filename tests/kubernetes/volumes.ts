import type { ApiObject, Objects } from "../support/manifests/objects.ts";

interface Claim extends ApiObject {
  readonly spec: {
    readonly accessModes: readonly string[];
    readonly storageClassName?: string;
    readonly resources: { readonly requests: { readonly storage: string } };
  };
}

/** Volumes for a cluster that makes none by itself: one for each claim of an overlay, those of stateful sets too. */
export function volumesFor(objects: Objects): ApiObject[] {
  const claims = [
    ...objects.ofKind<Claim>("PersistentVolumeClaim"),
    ...objects.workloads.flatMap(({ spec }) =>
      (spec.volumeClaimTemplates ?? []).flatMap((claim) =>
        Array.from({ length: spec.replicas ?? 1 }, () => claim as Claim),
      ),
    ),
  ];
  return claims.map(({ spec }, k) => ({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: `elibad-test-${k}`, labels: { "elibad.io/test": "true" } },
    spec: {
      accessModes: spec.accessModes,
      capacity: { storage: spec.resources.requests.storage },
      storageClassName: spec.storageClassName ?? "",
      persistentVolumeReclaimPolicy: "Delete",
      hostPath: { path: `/var/lib/elibad-test-${k}` },
    },
  }));
}
