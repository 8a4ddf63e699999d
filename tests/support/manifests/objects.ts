/** What every object of the API has; the rest is read where it is needed. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Labels;
    readonly uid?: string;
  };
  readonly spec?: unknown;
  readonly [field: string]: unknown;
}

export type Labels = Readonly<Record<string, string>>;

export interface ConfigMap extends ApiObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** `data` in base64. */
export type Secret = ConfigMap;

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly VolumeMount[];
  readonly resources?: { readonly limits?: Labels; readonly requests?: Labels };
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: { readonly resource: string };
    readonly configMapKeyRef?: { readonly name: string; readonly key: string };
    readonly secretKeyRef?: { readonly name: string; readonly key: string };
  };
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
}

export interface Probe {
  readonly httpGet?: { readonly path: string; readonly port: string | number };
}

interface Items {
  readonly items?: readonly { readonly key: string; readonly path: string }[];
}

export interface Volume {
  readonly name: string;
  readonly configMap?: Items & { readonly name: string };
  readonly secret?: Items & { readonly secretName: string };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly emptyDir?: object;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Volume[];
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly terminationGracePeriodSeconds?: number;
  readonly nodeName?: string;
}

/** A Deployment or StatefulSet. */
export interface Workload extends ApiObject {
  readonly spec: {
    readonly replicas?: number;
    readonly serviceName?: string;
    readonly selector: { readonly matchLabels: Labels };
    readonly template: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec };
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
}

/** Everything that an overlay renders to, or that a cluster has of it. */
export class Objects {
  readonly all: readonly ApiObject[];
  constructor(all: readonly ApiObject[]) {
    this.all = all;
  }

  ofKind<T extends ApiObject = ApiObject>(...kinds: readonly string[]): T[] {
    return this.all.filter(({ kind }) => kinds.includes(kind)) as T[];
  }

  find<T extends ApiObject = ApiObject>(kind: string, name: string): T | undefined {
    return this.all.find((each) => each.kind === kind && each.metadata.name === name) as T | undefined;
  }

  get workloads(): Workload[] {
    return this.ofKind<Workload>("Deployment", "StatefulSet");
  }
}

/** `Deployment worker`, for messages. */
export const named = ({ kind, metadata }: ApiObject): string => `${kind} ${metadata.name}`;

/** True where these labels have all that a selector asks for. */
export function selects(
  selector: {
    readonly matchLabels?: Labels;
    readonly matchExpressions?: readonly {
      readonly key: string;
      readonly operator: string;
      readonly values?: readonly string[];
    }[];
  },
  labels: Labels,
): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      if (operator !== "In") throw new Error(`selector with ${operator} ${key}: not read here`);
      return values.includes(labels[key] ?? "");
    })
  );
}
