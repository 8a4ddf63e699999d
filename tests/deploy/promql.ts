import { parser } from "@prometheus-io/lezer-promql";

/** A condition on a label, as it stands in a query. */
export interface Matcher {
  readonly label: string;
  readonly operator: "=" | "!=" | "=~" | "!~";
  readonly value: string;
}

/** What a query reads of one metric. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels by which it groups and joins. */
  readonly groupedBy: readonly string[];
}

/** Grafana's variables, in the place of which something of their kind is read. */
const VARIABLES: readonly (readonly [RegExp, string])[] = [
  [/\$__(rate_interval|interval|range)\b/g, "5m"],
  [/\$\{?\w+\}?/g, ".*"],
];

/** Metrics, conditions and labels of a PromQL query, with Grafana's variables or without. @throws Error where it is no query */
export function readQuery(text: string): Query {
  const query = VARIABLES.reduce((so, [variable, value]) => so.replace(variable, value), text);
  const textOf = ({ from, to }: { readonly from: number; readonly to: number }) => query.slice(from, to);
  const selectors: Selector[] = [];
  const groupedBy: string[] = [];
  parser.parse(query).iterate({
    enter({ name, type, from, to, node }) {
      if (type.isError) throw new Error(`no PromQL from '${query.slice(from, to + 20)}' on: ${query}`);
      if (name === "GroupingLabels") groupedBy.push(...node.getChildren("LabelName").map(textOf));
      if (name !== "VectorSelector") return;
      const metric = node.getChild("Identifier");
      if (!metric) throw new Error(`a selector without a metric: ${query}`);
      const matchers = node
        .getChildren("LabelMatchers")
        .flatMap((all) => all.getChildren("UnquotedLabelMatcher"))
        .map((matcher) => ({
          label: textOf(matcher.getChild("LabelName")!),
          operator: textOf(matcher.getChild("MatchOp")!) as Matcher["operator"],
          value: JSON.parse(textOf(matcher.getChild("StringLiteral")!)) as string,
        }));
      selectors.push({ metric: textOf(metric), matchers });
    },
  });
  return { selectors, groupedBy };
}
