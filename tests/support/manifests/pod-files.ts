import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ConfigMap, Container, Objects, PodSpec, Secret, VolumeMount } from "./objects.ts";

/** Who a pod is on this machine. */
export interface PodPlace {
  readonly name: string;
  readonly namespace: string;
  /** An address of this machine that stands for all of the pod's. */
  readonly address: string;
  /** An empty folder that stands for the pod's root. */
  readonly folder: string;
  /** The folder of a persistent volume claim, which pods share. */
  readonly claim: (name: string) => string;
}

/** A container's program as it is started on this machine: its own words and environment, with paths below the pod's folder and addresses of this machine. */
export interface PlacedContainer {
  readonly container: Container;
  /** `command`, else empty: the image's entrypoint. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Lays out what a pod's containers mount (config maps, secrets, claims, empty folders), and gives their words and environments with those places in them. */
export function placePod(spec: PodSpec, objects: Objects, place: PodPlace): PlacedContainer[] {
  return spec.containers.map((container) => {
    const mounts = (container.volumeMounts ?? []).map((mount) => ({
      mount,
      target: targetOf(mount, { spec, place }),
    }));
    const map = mapper(
      mounts.map(({ mount, target }) => [mount.mountPath, target]),
      place.address,
    );
    for (const { mount, target } of mounts) fill(mount, target, { spec, objects, map });
    const env: Record<string, string> = {};
    for (const variable of container.env ?? [])
      env[variable.name] = map(variableOf(variable, { container, objects, place }));
    const expanded = (word: string) =>
      map(word.replace(/\$\(([A-Z_]+)\)/g, (whole, name: string) => env[name] ?? whole));
    return {
      container,
      command: (container.command ?? []).map(expanded),
      args: (container.args ?? []).map(expanded),
      env,
    };
  });
}

const volumeOf = (spec: PodSpec, name: string) => spec.volumes?.find((each) => each.name === name);

/** A claim's folder is one for all pods; everything else is the pod's own. */
function targetOf(
  { name, mountPath }: VolumeMount,
  { spec, place }: { readonly spec: PodSpec; readonly place: PodPlace },
): string {
  const volume = volumeOf(spec, name);
  // The claims of a StatefulSet's templates are volumes of its pods, under the template's name.
  const claim = volume === undefined ? `${name}-${place.name}` : volume.persistentVolumeClaim?.claimName;
  return claim === undefined ? join(place.folder, mountPath) : place.claim(claim);
}

/** Puts folders of this machine in the place of a container's, and the pod's address in the place of "all of mine". */
function mapper(paths: readonly (readonly [string, string])[], address: string): (text: string) => string {
  const folders = new Map(paths);
  const longestFirst = [...folders.keys()]
    .sort((a, b) => b.length - a.length)
    .map((path) => path.replaceAll(".", "\\."));
  const pattern = new RegExp(
    `(?<![\\w./-])(${longestFirst.join("|")})(?![\\w.-])|(?<!\\d)0\\.0\\.0\\.0(?!\\d)`,
    "g",
  );
  return (text) =>
    text.replace(pattern, (_, path?: string) => (path === undefined ? address : folders.get(path)!));
}

function fill(
  { name, subPath }: VolumeMount,
  target: string,
  {
    spec,
    objects,
    map,
  }: { readonly spec: PodSpec; readonly objects: Objects; readonly map: (text: string) => string },
): void {
  const { configMap, secret } = volumeOf(spec, name) ?? {};
  const data = configMap
    ? Object.entries(objects.find<ConfigMap>("ConfigMap", configMap.name)?.data ?? {}).map(
        ([key, text]) => [key, map(text)] as const,
      )
    : Object.entries((secret && objects.find<Secret>("Secret", secret.secretName)?.data) ?? {}).map(
        ([key, base64]) => [key, Buffer.from(base64, "base64")] as const,
      );
  const items = (configMap ?? secret)?.items;
  const files = items
    ? items.map(({ key, path }) => [path, data.find(([name]) => name === key)?.[1] ?? ""] as const)
    : data;
  if (subPath !== undefined) {
    write(target, files.find(([key]) => key === subPath)?.[1] ?? "");
    return;
  }
  mkdirSync(target, { recursive: true });
  for (const [key, content] of files) write(join(target, key), content);
}

function write(file: string, content: string | Buffer): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content, { mode: 0o600 });
}

function variableOf(
  { value, valueFrom }: NonNullable<Container["env"]>[number],
  {
    container,
    objects,
    place,
  }: { readonly container: Container; readonly objects: Objects; readonly place: PodPlace },
): string {
  const { fieldRef, resourceFieldRef, configMapKeyRef: config, secretKeyRef: secret } = valueFrom ?? {};
  if (fieldRef) {
    const fields: Readonly<Record<string, string>> = {
      "metadata.name": place.name,
      "metadata.namespace": place.namespace,
      "status.podIP": place.address,
    };
    const found = fields[fieldRef.fieldPath];
    if (found === undefined) throw new Error(`field ${fieldRef.fieldPath}: not known here`);
    return found;
  }
  if (resourceFieldRef?.resource === "limits.cpu")
    return String(Math.ceil(cores(container.resources?.limits?.cpu ?? "1")));
  if (config) return objects.find<ConfigMap>("ConfigMap", config.name)?.data?.[config.key] ?? "";
  if (secret)
    return Buffer.from(
      objects.find<Secret>("Secret", secret.name)?.data?.[secret.key] ?? "",
      "base64",
    ).toString();
  return value ?? "";
}

const cores = (quantity: string): number =>
  quantity.endsWith("m") ? Number(quantity.slice(0, -1)) / 1_000 : Number(quantity);
