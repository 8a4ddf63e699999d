import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { packageRoot } from "../../proto/package-root.ts";

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly kind?: string;
  readonly spec?: {
    readonly groups?: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
    readonly triggers?: readonly { readonly type: string; readonly metadata: Record<string, string> }[];
  };
}

export interface Dashboard {
  readonly title: string;
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}

export interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
}

export const deployFolder = join(packageRoot, "deploy");
export const monitoringFolder = join(deployFolder, "components", "monitoring");

const read = (path: string): string => readFileSync(path, "utf8");
const below = (folder: string, extension: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(extension))
    .map((name) => join(folder, name));

const manifestsIn = (text: string): Manifest[] =>
  parseAllDocuments(text).map((document) => document.toJS() as Manifest);

/** What stands in the `spec` of the PrometheusRule: a rule file for Prometheus itself. */
export function ruleSpec(): NonNullable<Manifest["spec"]> {
  const [rule] = manifestsIn(read(join(monitoringFolder, "prometheus-rule.yaml")));
  return rule!.spec!;
}

export const rules = (): Rule[] => ruleSpec().groups!.flatMap((group) => group.rules);

export const recordedNames = (): ReadonlySet<string> =>
  new Set(rules().flatMap(({ record }) => (record === undefined ? [] : [record])));

export function dashboards(): Dashboard[] {
  return below(join(monitoringFolder, "dashboards"), ".json").map(
    (path) => JSON.parse(read(path)) as Dashboard,
  );
}

export interface PlacedQuery {
  /** For messages. */
  readonly place: string;
  readonly query: string;
}

/** Queries of a manifest: a PrometheusRule's, and those that KEDA asks Prometheus. */
export const queriesOf = (text: string): PlacedQuery[] =>
  manifestsIn(text).flatMap(({ kind, spec }) => [
    ...(kind === "PrometheusRule" ? (spec?.groups ?? []) : []).flatMap((group) =>
      group.rules.map(({ record, alert, expr }) => ({ place: `rule ${record ?? alert}`, query: expr })),
    ),
    ...(kind === "ScaledObject" ? (spec?.triggers ?? []) : []).flatMap(({ type, metadata }) =>
      type === "prometheus" ? [{ place: "ScaledObject", query: metadata.query ?? "" }] : [],
    ),
  ]);

/** Queries of a dashboard's panels. */
export const queriesOfDashboard = ({ panels }: Dashboard): PlacedQuery[] =>
  panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, refId }) => ({ place: `panel '${title}' ${refId}`, query: expr })),
  );

/** All that deploy/ asks Prometheus. */
export const allQueries = (): PlacedQuery[] => [
  ...below(deployFolder, ".yaml").flatMap((path) => queriesOf(read(path))),
  ...dashboards().flatMap(queriesOfDashboard),
];
