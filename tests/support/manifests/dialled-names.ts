import { X509Certificate } from "node:crypto";
import type { ConfigMap, Objects, Secret } from "./objects.ts";
import type { Certificate } from "./references.ts";

/** Names of services and pods that programs dial, and that the certificate of whoever answers there does not have. */
export function uncoveredNames(objects: Objects): string[] {
  return dialledNames(objects).filter((name) => {
    const service = name.split(".").at(-3)!;
    return !covers(objects, `${service}-tls`, name);
  });
}

/** As command lines and servers' configurations say them. */
function dialledNames(objects: Objects): string[] {
  const namespace = objects.ofKind("Namespace")[0]!.metadata.name;
  const words = objects.workloads.flatMap(({ metadata, spec }) =>
    spec.template.spec.containers.flatMap(({ args = [] }) =>
      args.map((word) =>
        word.replaceAll("$(POD_NAME)", `${metadata.name}-0`).replaceAll("$(POD_NAMESPACE)", namespace),
      ),
    ),
  );
  const files = objects.ofKind<ConfigMap>("ConfigMap").flatMap(({ data = {} }) => Object.values(data));
  const found = [...words, ...files].flatMap((text) =>
    [...text.matchAll(/([\w-]+\.)+svc(?=:\d)/g)].map(([name]) => name),
  );
  return [...new Set(found)].sort();
}

function covers(objects: Objects, secretName: string, name: string): boolean {
  const secret = objects.find<Secret>("Secret", secretName);
  if (secret !== undefined) {
    return new X509Certificate(Buffer.from(secret.data!["tls.crt"]!, "base64")).checkHost(name) !== undefined;
  }
  const certificate = objects
    .ofKind<Certificate>("Certificate")
    .find(({ spec }) => spec.secretName === secretName);
  const names = certificate?.spec.dnsNames ?? [];
  return names.includes(name) || names.includes(name.replace(/^[^.]+/, "*"));
}
