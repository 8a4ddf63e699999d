import { describe, expect, test } from "vitest";
import { dashboards, type Panel, recordedNames } from "./monitoring-files.ts";
import { readQuery } from "./promql.ts";

const [dashboard] = dashboards();
const { panels, templating } = dashboard!;
const shown = panels.filter(({ type }) => type !== "row");

/** Pairs of panels of which one covers a part of the other. */
function overlaps(all: readonly Panel[]): string[] {
  const apart = (a: Panel["gridPos"], b: Panel["gridPos"]) =>
    a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
  return all.flatMap((a, k) =>
    all.slice(k + 1).flatMap((b) => (apart(a.gridPos, b.gridPos) ? [] : [`'${a.title}' and '${b.title}'`])),
  );
}

describe("the dashboard", () => {
  test("has panels with ids and places of their own, within Grafana's 24 columns", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(overlaps(panels)).toEqual([]);
    for (const { title, gridPos } of panels) expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    const [first] = shown;
    expect(overlaps([first!, { ...first!, title: "moved" }])).toEqual([`'${first!.title}' and 'moved'`]);
  });

  test("asks whatever Prometheus its user chooses, about the namespaces that its user chooses", () => {
    expect(templating.list.map(({ name }) => name)).toEqual(["datasource", "namespace"]);
    for (const { title, datasource, targets = [] } of shown) {
      expect(datasource, title).toEqual({ type: "prometheus", uid: "$datasource" });
      expect(targets.length, title).toBeGreaterThan(0);
      for (const { expr } of targets) expect(expr, title).toMatch(/\{namespace=~"\$namespace"/);
    }
  });

  test("says of each panel how to read it", () => {
    for (const { title, description } of shown) expect(description, title).toMatch(/\.$/);
    const titles = panels.map(({ title }) => title);
    for (const question of ["Is work going on?", "Why does it wait?", "Which worker is slow?"])
      expect(titles).toContain(question);
  });

  test("takes rates over as long as its scrapes need, and recording rules that there are", () => {
    const recorded = recordedNames();
    for (const { expr } of shown.flatMap(({ targets = [] }) => targets)) {
      for (const [, range] of expr.matchAll(/\brate\([^[]*\[([^\]]+)\]/g))
        expect(range).toBe("$__rate_interval");
      for (const { metric } of readQuery(expr).selectors)
        if (metric.includes(":")) expect(recorded).toContain(metric);
    }
  });
});
