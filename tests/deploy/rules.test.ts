import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { packageRoot } from "../../proto/package-root.ts";
import { ensurePromtool } from "../support/promtool-install.mjs";
import { tempFolder } from "../support/temp-folder.ts";
import { ALERT_CASES, type Series } from "./alert-cases.ts";
import { type Rule, ruleSpec, rules } from "./monitoring-files.ts";

const OPERATIONS = "docs/operations.md";
const alerts = rules().filter(({ alert }) => alert !== undefined);

const promtool = (() => {
  try {
    return ensurePromtool(() => undefined);
  } catch {
    return undefined;
  }
})();

/** Runs promtool in a folder with `rules.yaml`, and answers what it said where it failed. */
function problemsOf(command: "check" | "test", files: Readonly<Record<string, unknown>>): string {
  const folder = tempFolder();
  for (const [name, content] of Object.entries({ "rules.yaml": ruleSpec(), ...files }))
    writeFileSync(join(folder, name), stringify(content, { aliasDuplicateObjects: false }));
  const file = command === "check" ? "rules.yaml" : "tests.yaml";
  const { status, stdout, stderr } = spawnSync(promtool!, [command, "rules", file], {
    cwd: folder,
    encoding: "utf8",
  });
  return status === 0 ? "" : `${stdout}\n${stderr}`;
}

const inputOf = (series: Series) =>
  Object.entries(series).map(([name, values]) => ({ series: name, values }));

/** An alert fires with these annotations, or not at all. */
function alertTest({ alert, annotations, labels }: Rule, does: "fires" | "quiet") {
  const { [does]: series, after, labels: given, description } = ALERT_CASES[alert!]!;
  const fired = { exp_labels: { ...labels, ...given }, exp_annotations: { ...annotations, description } };
  return {
    name: `${alert} ${does}`,
    interval: "1m",
    input_series: inputOf(series),
    alert_rule_test: [
      { eval_time: `${after}m`, alertname: alert, exp_alerts: does === "fires" ? [fired] : [] },
    ],
  };
}

const WANTED = "elibad:workers_wanted";
/** Operations that take so many seconds each, a hundred in a minute. */
const taking = (seconds: number): Series => ({
  'elibad_coordinator_operation_seconds_sum{namespace="elibad",kind="score"}': `0+${100 * seconds}x60`,
  'elibad_coordinator_operation_seconds_count{namespace="elibad",kind="score"}': "0+100x60",
});
const outstanding = (waiting: string, leases: string): Series => ({
  'elibad_coordinator_waiting_operations{namespace="elibad",pod="c0"}': waiting,
  'elibad_coordinator_leases{namespace="elibad",pod="c0"}': leases,
});
const wanted = (name: string, series: Series, at: string, value: number | undefined) => ({
  name,
  interval: "1m",
  input_series: inputOf(series),
  promql_expr_test: [
    {
      expr: WANTED,
      eval_time: at,
      exp_samples: value === undefined ? [] : [{ labels: `${WANTED}{namespace="elibad"}`, value }],
    },
  ],
});

describe("rules for Prometheus", () => {
  test("each alert says how bad it is, what is the case, and where to read what to do, and has a case here", () => {
    const text = readFileSync(join(packageRoot, OPERATIONS), "utf8");
    const headings = new Set([...text.matchAll(/^#+ (\S+)$/gm)].map(([, heading]) => heading));
    expect(alerts.map(({ alert }) => alert)).toEqual(expect.arrayContaining(Object.keys(ALERT_CASES)));
    for (const { alert, labels, annotations } of alerts) {
      expect(ALERT_CASES, alert).toHaveProperty(alert!);
      expect(["warning", "critical"]).toContain(labels?.severity);
      expect(annotations?.summary).toBeTruthy();
      expect(annotations?.description).toBeTruthy();
      expect(annotations?.runbook_url).toBe(`${OPERATIONS}#${alert!.toLowerCase()}`);
      expect(headings, `a section of ${OPERATIONS}`).toContain(alert);
    }
  });

  describe.skipIf(promtool === undefined)("with promtool", () => {
    test("they are rules to Prometheus, and a broken one is not", () => {
      expect(problemsOf("check", {})).toBe("");
      const broken = { groups: [{ name: "broken", rules: [{ record: "a:b", expr: "sum by (" }] }] };
      expect(problemsOf("check", { "rules.yaml": broken })).toContain("parse error");
    });

    test("each alert fires where it is to, with its labels and its text, and not where it is near", () => {
      const tests = alerts.flatMap((alert) => [alertTest(alert, "fires"), alertTest(alert, "quiet")]);
      // Every minute will do: that is how far apart the values are.
      const groups = ruleSpec().groups!.map(({ name, rules }) => ({ name, rules }));
      const files = { "rules.yaml": { groups }, "tests.yaml": { rule_files: ["rules.yaml"], tests } };
      expect(problemsOf("test", files)).toBe("");
    });

    test("workers are wanted as the work needs them: none without work, one while nobody knows, then as many as do it in ten seconds", () => {
      const tests = [
        wanted("no coordinator", {}, "20m", undefined),
        wanted("nothing to do", { ...outstanding("0x60", "0x60"), ...taking(1) }, "20m", 0),
        wanted("never worked", outstanding("60x60", "0x60"), "20m", 1),
        wanted("little work", { ...outstanding("60x60", "4x60"), ...taking(0.05) }, "20m", 1),
        wanted("much work", { ...outstanding("60x60", "4x60"), ...taking(1) }, "20m", 7),
        wanted("one long operation", { ...outstanding("0x60", "1x60"), ...taking(60) }, "20m", 1),
        wanted("three long operations", { ...outstanding("1x60", "2x60"), ...taking(60) }, "20m", 3),
        wanted("a pause of a step", { ...outstanding("60x18 0x40", "0x60"), ...taking(1) }, "21m", 6),
        wanted("done for five minutes", { ...outstanding("60x18 0x40", "0x60"), ...taking(1) }, "26m", 0),
      ];
      expect(problemsOf("test", { "tests.yaml": { rule_files: ["rules.yaml"], tests } })).toBe("");
    });
  });
});
