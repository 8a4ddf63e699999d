import { readQuery, type Selector } from "./promql.ts";

/** Label values of each exported series, by the name that Prometheus gives it. */
export type Exported = ReadonlyMap<string, readonly Readonly<Record<string, string>>[]>;

/** What Prometheus adds to what it scrapes, as the Prometheus Operator has it do. */
const TARGET_LABELS = ["namespace", "pod", "container", "instance", "job", "service", "endpoint", "node"];
/** Series that Prometheus makes by itself. */
const PROMETHEUS_OWN = new Set(["up", "ALERTS"]);

/** Reads the text of `/metrics`. */
export function exportedBy(...texts: readonly string[]): Exported {
  const series = new Map<string, Record<string, string>[]>();
  for (const line of texts.join("\n").split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line);
    if (!match) continue;
    const labels = [...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    const set = Object.fromEntries(labels.map(([, label, value]) => [label!, value!]));
    series.set(match[1]!, [...(series.get(match[1]!) ?? []), set]);
  }
  return series;
}

/**
 * What a query asks for that nobody exports: metrics, labels, and label values, which are those that exist from the start.
 *
 * @param recorded the names of recording rules
 */
export function unknownIn(text: string, exported: Exported, recorded: ReadonlySet<string>): string[] {
  const { selectors, groupedBy } = readQuery(text);
  const problems = selectors.flatMap((selector) =>
    recorded.has(selector.metric) || PROMETHEUS_OWN.has(selector.metric)
      ? []
      : unknownOf(selector, exported.get(selector.metric)),
  );
  const labels = new Set(TARGET_LABELS);
  for (const { metric } of selectors)
    for (const set of exported.get(metric) ?? []) for (const label of Object.keys(set)) labels.add(label);
  const recordedOnly = selectors.every(({ metric }) => recorded.has(metric));
  const strange = recordedOnly ? [] : groupedBy.filter((label) => !labels.has(label));
  return [...problems, ...strange.map((label) => `groups by '${label}', which no metric in it has`)];
}

function unknownOf(
  { metric, matchers }: Selector,
  series: readonly Readonly<Record<string, string>>[] | undefined,
): string[] {
  if (series === undefined) return [`metric '${metric}' is exported by nobody`];
  return matchers.flatMap(({ label, operator, value }) => {
    if (TARGET_LABELS.includes(label)) return [];
    const values = new Set(series.map((set) => set[label]).filter((each) => each !== undefined));
    if (values.size === 0) return [`metric '${metric}' has no label '${label}'`];
    if (/[.*+()[\]\\^$]/.test(value)) return [];
    const asked = operator.endsWith("~") ? value.split("|") : [value];
    const never = asked.filter((each) => !values.has(each));
    return never.map((each) => `metric '${metric}' never has ${label}="${each}"`);
  });
}
