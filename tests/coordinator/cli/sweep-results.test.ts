import { expect, test } from "vitest";
import { resultsCsv, resultsJson, resultsTable } from "../../../coordinator/cli/sweep-results.ts";
import { rateOf } from "../../../coordinator/search/rate.ts";
import type { JobResultMessage, JobRowMessage } from "../../../proto/sweep-messages.ts";

const row = (name: string, more: Partial<JobRowMessage> = {}): JobRowMessage => ({
  ...{ name, model: `/models/${name}`, phase: "done", attempt: 1, movedAt: 0, reason: "" },
  ...{ steps: 0, searchesDone: 0, best: null },
  ...more,
});
const rate = (hits: number, n: number) => rateOf({ hits, n });
const tokens = (...ids: number[]) => ({ ids, text: ids.map((id) => `t${id}`).join("") });

const flips: JobResultMessage = {
  job: row("defects"),
  reportJson: JSON.stringify({
    folder: "/state/results/friday/defects",
    searches: [
      {
        ...{
          search: 0,
          victim_label: 1,
          target_label: 0,
          half: "first_half",
          seed: 7,
          steps: 25,
          ended: "epochs",
        },
        ...{ trigger: tokens(5, 8), loss: 0.125, anchored: { text: "t5" } },
        asr: { samples: rate(29, 30), held_out: rate(98, 102) },
        without_trigger: { samples: rate(2, 30), held_out: rate(9, 102) },
      },
      {
        ...{
          search: 1,
          victim_label: 0,
          target_label: 1,
          half: "first_half",
          seed: 7,
          steps: 3,
          ended: "exhausted",
        },
        ...{ trigger: null, loss: null, anchored: null, asr: null },
        without_trigger: { samples: rate(0, 30), held_out: rate(1, 100) },
      },
    ],
    repair: {
      plan: "auto",
      triggers: [],
      stage: "all weights",
      because: "",
      triggers_dead: true,
      seconds: 5,
    },
    measured_on: "test.jsonl",
    before: { acc: rate(349, 364), recall: [], triggers: [] },
    after: {
      ...{ acc: rate(340, 364), recall: [] },
      triggers: [
        { text: "t5t8", victim_label: 1, target_label: 0, asr: rate(5, 102), without_trigger: rate(2, 102) },
      ],
    },
  }),
};

const ranks: JobResultMessage = {
  job: row('search, with "quotes"'),
  reportJson: JSON.stringify({
    folder: "/f",
    searches: [
      {
        ...{ search: 0, half: "first_half", seed: 7, steps: 20, ended: "epochs" },
        ...{ trigger: tokens(1), target: tokens(2), loss: 0.25, anchored: null },
        anr: { samples: { anr: 0.1, without_trigger: 0.5 }, held_out: { anr: 0.155, without_trigger: 0.5 } },
      },
    ],
    repair: null,
    ...{ measured_on: "samples", before: null, after: null },
  }),
};

const failed: JobResultMessage = {
  job: row("broken", { phase: "failed", reason: "no such file", attempt: 2 }),
  reportJson: "",
};

test("the table has a line for each search, with what its trigger does before and after the repair", () => {
  const lines = resultsTable([flips, ranks, failed])
    .split("\n")
    .map((line) => line.split(/ {2,}/));
  expect(lines.slice(1, -1)).toEqual([
    [
      "defects",
      "done",
      "1→0, first_half, seed 7",
      "t5t8",
      "flips 98/102 (96.1 %), 9/102 (8.8 %) without",
      "t5",
      "flips 5/102 (4.9 %)",
      "ACC 0.959 → 0.934",
    ],
    ["defects", "done", "0→1, first_half, seed 7", "none", "–", "–", "no repair", "ACC 0.959 → 0.934"],
    [
      'search, with "quotes"',
      "done",
      "first_half, seed 7",
      "t1 / t2",
      "ANR 0.155, 0.500 without",
      "–",
      "no repair",
      "–",
    ],
    ["broken", "failed (attempt 2): no such file", "–", "–", "–", "–", "–", "–"],
  ]);
});

test("the CSV has every number under its column, cells with commas and quotes in quotes", () => {
  const [head, ...lines] = resultsCsv("friday", [flips, ranks, failed]).split("\n");
  const columns = head!.split(",");
  const cells = (line: string) =>
    Object.fromEntries(
      (line.match(/("([^"]|"")*"|[^,]*)(,|$)/g) ?? [])
        .slice(0, columns.length)
        .map((cell, k) => [columns[k], cell.replace(/,$/, "")]),
    );
  expect(lines).toHaveLength(4);
  expect(cells(lines[0]!)).toMatchObject({
    ...{ sweep: "friday", job: "defects", state: "done", search: "0", victim_label: "1", target_label: "0" },
    ...{ trigger: "t5t8", trigger_ids: "5 8", loss: "0.125", held_out_hits: "98", held_out_rows: "102" },
    ...{ held_out_hits_without_trigger: "9", repair_plan: "auto", triggers_dead: "true" },
    ...{ hits_after_repair: "5", rows_after_repair: "102", held_out_anr: "" },
  });
  expect(Number(cells(lines[0]!).quality_after)).toBe(340 / 364);
  expect(cells(lines[1]!)).toMatchObject({ search: "1", trigger: "", loss: "", hits_after_repair: "" });
  expect(cells(lines[2]!)).toMatchObject({
    job: '"search, with ""quotes"""',
    target: "t2",
    held_out_anr: "0.155",
    held_out_hits: "",
  });
  expect(cells(lines[3]!)).toMatchObject({
    state: "failed",
    attempt: "2",
    reason: "no such file",
    search: "",
    folder: "",
  });
});

test("JSON has of each job its state, and its report as the job left it", () => {
  expect(resultsJson("friday", [failed, ranks])).toEqual({
    sweep: "friday",
    jobs: [
      {
        name: "broken",
        model: "/models/broken",
        state: "failed",
        attempt: 2,
        reason: "no such file",
        report: null,
      },
      expect.objectContaining({ state: "done", reason: null, report: JSON.parse(ranks.reportJson) }),
    ],
  });
});
