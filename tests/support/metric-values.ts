/** Values of a process's metrics by what Prometheus prints before them, `name{label="value"}`, without "elibad_". */
export type MetricValues = ReadonlyMap<string, number>;

/** Reads what `/metrics` says, elibad's own metrics without buckets. */
export function metricValues(text: string): MetricValues {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^elibad_([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line);
    if (match && !match[1]!.includes("_bucket{")) values.set(match[1]!, Number(match[2]));
  }
  return values;
}

/** What `/metrics` of a process says now. */
export async function readMetrics(address: string): Promise<MetricValues> {
  const response = await fetch(`http://${address}/metrics`);
  return metricValues(await response.text());
}

/** Sum over those label sets of a metric that have these labels. */
export function metricSum(
  values: MetricValues,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  let sum = 0;
  for (const [key, value] of values) {
    const [metric, set = ""] = key.split("{");
    if (metric !== name) continue;
    if (Object.entries(labels).every(([label, wanted]) => set.includes(`${label}="${wanted}"`))) sum += value;
  }
  return sum;
}

/** What grew since an earlier look: sums over both looks stay the same where nothing happened. */
export function grown(before: MetricValues, after: MetricValues): MetricValues {
  const differences = [...after].map(([key, value]) => [key, value - (before.get(key) ?? 0)] as const);
  return new Map(differences);
}
