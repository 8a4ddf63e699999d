import {
  type ApiObject,
  type ConfigMap,
  type Container,
  type Labels,
  named,
  type Objects,
  type PodSpec,
  selects,
  type Workload,
} from "./objects.ts";

/** Secrets that no manifest makes, with their keys: deploy/README.md says how users make them. */
export type GivenSecrets = Readonly<Record<string, readonly string[]>>;

/** Labels of pods that users bring. */
const USERS_PODS: readonly Labels[] = [{ "elibad.io/submitter": "true" }];

/** Names that stand for nothing: config maps, secrets and their keys, claims, accounts, ports, selectors, scaled objects and issuers. */
export function danglingReferences(objects: Objects, given: GivenSecrets = {}): string[] {
  const secrets = secretKeys(objects, given);
  const pods = objects.workloads.map(({ spec }) => spec.template);
  return [
    ...objects.workloads.flatMap((workload) => workloadProblems(workload, objects, secrets)),
    ...objects.ofKind<ServiceObject>("Service").flatMap((service) => serviceProblems(service, pods)),
    ...objects.ofKind<Policy>("NetworkPolicy").flatMap((policy) => policyProblems(policy, pods)),
    ...objects.ofKind<Selecting>("PodDisruptionBudget").flatMap((budget) => nothingSelected(budget, pods)),
    ...objects.ofKind<Monitor>("PodMonitor").flatMap((monitor) => podMonitorProblems(monitor, pods)),
    ...objects
      .ofKind<Monitor>("ServiceMonitor")
      .flatMap((monitor) => serviceMonitorProblems(monitor, objects)),
    ...objects.ofKind<ScaledObject>("ScaledObject").flatMap((scaled) => scaledProblems(scaled, objects)),
    ...objects
      .ofKind<Certificate>("Certificate")
      .flatMap((certificate) => issuerProblems(certificate, objects)),
    ...namespaceProblems(objects),
  ];
}

type PodTemplate = Workload["spec"]["template"];

interface Selecting extends ApiObject {
  readonly spec: { readonly selector: { readonly matchLabels?: Labels } };
}
interface ServiceObject extends ApiObject {
  readonly spec: {
    readonly clusterIP?: string;
    readonly selector: Labels;
    readonly ports: readonly { readonly name: string; readonly targetPort: string | number }[];
  };
}
type Peer = { readonly podSelector?: Parameters<typeof selects>[0]; readonly namespaceSelector?: object };
type Rule = {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: string | number }[];
};
interface Policy extends ApiObject {
  readonly spec: {
    readonly podSelector: Parameters<typeof selects>[0];
    readonly ingress?: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
}
interface Monitor extends ApiObject {
  readonly spec: {
    readonly selector: Parameters<typeof selects>[0];
    readonly endpoints?: readonly { readonly port: string }[];
    readonly podMetricsEndpoints?: readonly { readonly port: string }[];
  };
}
interface ScaledObject extends ApiObject {
  readonly spec: { readonly scaleTargetRef: { readonly kind?: string; readonly name: string } };
}
export interface Certificate extends ApiObject {
  readonly spec: {
    readonly secretName: string;
    readonly isCA?: boolean;
    readonly dnsNames?: readonly string[];
    readonly uris?: readonly string[];
    readonly issuerRef: { readonly kind: string; readonly name: string };
  };
}

/** Keys of every secret that is there, or that cert-manager makes. */
function secretKeys(objects: Objects, given: GivenSecrets): ReadonlyMap<string, readonly string[]> {
  const made = objects
    .ofKind<Certificate>("Certificate")
    .map(({ spec }) => [spec.secretName, ["ca.crt", "tls.crt", "tls.key"]] as const);
  const written = objects
    .ofKind<ConfigMap>("Secret")
    .map(({ metadata, data = {} }) => [metadata.name, Object.keys(data)] as const);
  return new Map([...Object.entries(given), ...made, ...written]);
}

function workloadProblems(
  workload: Workload,
  objects: Objects,
  secrets: ReadonlyMap<string, readonly string[]>,
): string[] {
  const { template, selector, serviceName, volumeClaimTemplates = [] } = workload.spec;
  const problems: string[] = [];
  const say = (problem: string) => problems.push(`${named(workload)}: ${problem}`);
  if (!selects(selector, template.metadata.labels)) say("its selector does not select its own pods");
  if (workload.kind === "StatefulSet") {
    const service = objects.find<ServiceObject>("Service", serviceName ?? "");
    if (service?.spec.clusterIP !== "None")
      say(`serviceName ${serviceName}: there is no headless Service of that name`);
  }
  const account = template.spec.serviceAccountName;
  if (account === undefined || !objects.find("ServiceAccount", account))
    say(`there is no ServiceAccount ${account}`);
  volumeProblems(template.spec, {
    objects,
    secrets,
    claims: volumeClaimTemplates.map((each) => each.metadata.name),
  }).forEach(say);
  for (const container of template.spec.containers)
    containerProblems(container, { objects, secrets }).forEach(say);
  return problems;
}

function volumeProblems(
  { volumes = [], containers }: PodSpec,
  there: {
    readonly objects: Objects;
    readonly secrets: ReadonlyMap<string, readonly string[]>;
    readonly claims: readonly string[];
  },
): string[] {
  const problems: string[] = [];
  for (const { name, configMap, secret, persistentVolumeClaim } of volumes) {
    const keys = configMap
      ? there.objects.find<ConfigMap>("ConfigMap", configMap.name)?.data
      : secret && Object.fromEntries((there.secrets.get(secret.secretName) ?? []).map((key) => [key, ""]));
    if (configMap && keys === undefined)
      problems.push(`volume ${name}: there is no ConfigMap ${configMap.name}`);
    if (secret && !there.secrets.has(secret.secretName))
      problems.push(`volume ${name}: there is no Secret ${secret.secretName}`);
    for (const { key } of (configMap ?? secret)?.items ?? []) {
      if (keys !== undefined && !(key in keys))
        problems.push(`volume ${name}: ${configMap?.name ?? secret?.secretName} has no key ${key}`);
    }
    const claim = persistentVolumeClaim?.claimName;
    if (claim !== undefined && !there.objects.find("PersistentVolumeClaim", claim)) {
      problems.push(`volume ${name}: there is no PersistentVolumeClaim ${claim}`);
    }
  }
  const names = [...volumes.map(({ name }) => name), ...there.claims];
  const mounts = containers.flatMap(({ volumeMounts = [] }) => volumeMounts);
  for (const { name, subPath } of mounts) {
    if (!names.includes(name)) problems.push(`there is no volume ${name} to mount`);
    const config = volumes.find((each) => each.name === name)?.configMap;
    const data = config && there.objects.find<ConfigMap>("ConfigMap", config.name)?.data;
    if (subPath !== undefined && data !== undefined && !(subPath in data)) {
      problems.push(`volume ${name}: ConfigMap ${config?.name} has no key ${subPath}`);
    }
  }
  for (const name of names)
    if (!mounts.some((each) => each.name === name)) problems.push(`volume ${name} is mounted nowhere`);
  return problems;
}

function containerProblems(
  { name, args = [], env = [], ports = [], ...container }: Container,
  there: { readonly objects: Objects; readonly secrets: ReadonlyMap<string, readonly string[]> },
): string[] {
  const problems: string[] = [];
  const say = (problem: string) => problems.push(`container ${name}: ${problem}`);
  for (const { valueFrom } of env) {
    const { configMapKeyRef: config, secretKeyRef: secret } = valueFrom ?? {};
    if (config && !(config.key in (there.objects.find<ConfigMap>("ConfigMap", config.name)?.data ?? {}))) {
      say(`there is no key ${config.key} of a ConfigMap ${config.name}`);
    }
    if (secret && !there.secrets.get(secret.name)?.includes(secret.key)) {
      say(`there is no key ${secret.key} of a Secret ${secret.name}`);
    }
  }
  const variables = args.flatMap((word) =>
    [...word.matchAll(/\$\(([A-Z_]+)\)/g)].map(([, variable]) => variable!),
  );
  for (const variable of variables) {
    if (!env.some((each) => each.name === variable)) say(`$(${variable}) is no variable of its environment`);
  }
  for (const kind of ["startupProbe", "readinessProbe", "livenessProbe"] as const) {
    const port = container[kind]?.httpGet?.port;
    if (port === undefined || !ports.some((each) => each.name === port))
      say(`${kind}: there is no port ${port}`);
  }
  return problems;
}

const portNames = ({ spec }: PodTemplate): readonly (string | number)[] =>
  spec.containers.flatMap(({ ports = [] }) => ports.map(({ name }) => name));

function serviceProblems(service: ServiceObject, pods: readonly PodTemplate[]): string[] {
  const selected = pods.filter(({ metadata }) =>
    selects({ matchLabels: service.spec.selector }, metadata.labels),
  );
  if (selected.length === 0) return [`${named(service)}: it selects no pod`];
  return service.spec.ports
    .filter(({ targetPort }) => !selected.every((pod) => portNames(pod).includes(targetPort)))
    .map(({ targetPort }) => `${named(service)}: its pods have no port ${targetPort}`);
}

function policyProblems(policy: Policy, pods: readonly PodTemplate[]): string[] {
  const { podSelector, ingress = [], egress = [] } = policy.spec;
  const problems: string[] = [];
  const podsOf = (selector: Parameters<typeof selects>[0]): readonly PodTemplate[] => {
    const found = pods.filter(({ metadata }) => selects(selector, metadata.labels));
    const isUsers = USERS_PODS.some((labels) => selects(selector, labels));
    if (found.length === 0 && !isUsers)
      problems.push(`${named(policy)}: ${JSON.stringify(selector)} selects no pod`);
    return found;
  };
  const requirePorts = (rule: Rule, targets: readonly PodTemplate[]) => {
    for (const { port } of rule.ports ?? []) {
      if (typeof port === "string" && !targets.every((pod) => portNames(pod).includes(port))) {
        problems.push(`${named(policy)}: its pods have no port ${port}`);
      }
    }
  };
  const selected = podsOf(podSelector);
  for (const rule of ingress) {
    for (const peer of rule.from ?? []) if (peer.podSelector) podsOf(peer.podSelector);
    requirePorts(rule, selected);
  }
  for (const rule of egress) {
    requirePorts(
      rule,
      (rule.to ?? []).flatMap((peer) => (peer.podSelector ? podsOf(peer.podSelector) : [])),
    );
  }
  return problems;
}

const nothingSelected = (object: Selecting, pods: readonly PodTemplate[]): string[] =>
  pods.some(({ metadata }) => selects(object.spec.selector, metadata.labels))
    ? []
    : [`${named(object)}: it selects no pod`];

function podMonitorProblems(monitor: Monitor, pods: readonly PodTemplate[]): string[] {
  const selected = pods.filter(({ metadata }) => selects(monitor.spec.selector, metadata.labels));
  if (selected.length === 0) return [`${named(monitor)}: it selects no pod`];
  return (monitor.spec.podMetricsEndpoints ?? [])
    .filter(({ port }) => !selected.every((pod) => portNames(pod).includes(port)))
    .map(({ port }) => `${named(monitor)}: its pods have no port ${port}`);
}

function serviceMonitorProblems(monitor: Monitor, objects: Objects): string[] {
  const selected = objects
    .ofKind<ServiceObject>("Service")
    .filter(({ metadata }) => selects(monitor.spec.selector, metadata.labels ?? {}));
  if (selected.length === 0) return [`${named(monitor)}: it selects no Service`];
  return (monitor.spec.endpoints ?? [])
    .filter(({ port }) => !selected.every(({ spec }) => spec.ports.some(({ name }) => name === port)))
    .map(({ port }) => `${named(monitor)}: its Services have no port ${port}`);
}

function scaledProblems(scaled: ScaledObject, objects: Objects): string[] {
  const { kind = "Deployment", name } = scaled.spec.scaleTargetRef;
  const target = objects.find<Workload>(kind, name);
  if (target === undefined) return [`${named(scaled)}: there is no ${kind} ${name}`];
  return target.spec.replicas === undefined
    ? []
    : [`${named(scaled)}: ${kind} ${name} says how many replicas it has, too`];
}

const issuerProblems = (certificate: Certificate, objects: Objects): string[] => {
  const { kind, name } = certificate.spec.issuerRef;
  return objects.find(kind, name) ? [] : [`${named(certificate)}: there is no ${kind} ${name}`];
};

function namespaceProblems(objects: Objects): string[] {
  const [namespace] = objects.ofKind("Namespace");
  return objects.all
    .filter((each) => each !== namespace && each.metadata.namespace !== namespace?.metadata.name)
    .map((each) => `${named(each)}: it is in namespace ${each.metadata.namespace}, and not in the overlay's`);
}
