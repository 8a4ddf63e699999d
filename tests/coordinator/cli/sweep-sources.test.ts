import { expect, test } from "vitest";
import { InputError } from "../../../coordinator/cli/errors.ts";
import { openWithSources } from "../../../coordinator/cli/local-sources.ts";
import { parseSweep } from "../../../coordinator/cli/sweep-file.ts";
import { neededUploads, uploadsOf } from "../../../coordinator/cli/sweep-sources.ts";
import { parseYaml } from "../../../coordinator/cli/yaml-file.ts";
import type { JobState } from "../../../coordinator/sweep/job-state.ts";
import type { SweepSpec, SweepsState } from "../../../coordinator/sweep/sweep.ts";
import { states, sweepOf } from "../../support/sweeps.ts";

const [A, B, C] = ["a", "b", "c"].map((letter) => letter.repeat(64)) as [string, string, string];
const read = (...lines: readonly string[]): SweepSpec =>
  parseSweep(parseYaml("friday.yaml", `${["name: friday", ...lines].join("\n")}\n`), "/lab");

test("models and samples may come from buckets and uploads, beside paths, and overrides may name others", () => {
  const spec = read(
    `models: [s3://lab/zoo/one/, { two: "upload:${A}" }]`,
    "base: s3://lab/base",
    `samples: upload:${B}`,
    "held_out: test.jsonl",
    `overrides: { two: { base: codebert, samples: "s3://lab/two.jsonl" } }`,
    "s3: { endpoint: 'http://127.0.0.1:9000', path_style: true }",
  );
  expect(spec.jobs).toEqual([
    { name: "one", model: "s3://lab/zoo/one", options: {} },
    { name: "two", model: `upload:${A}`, options: { base: "/lab/codebert", samples: "s3://lab/two.jsonl" } },
  ]);
  expect(spec.options).toEqual({
    base: "s3://lab/base",
    samples: `upload:${B}`,
    heldOut: "/lab/test.jsonl",
  });
  expect(spec.s3).toEqual({ endpoint: "http://127.0.0.1:9000", pathStyle: true });
  expect([...uploadsOf(spec)].sort()).toEqual([A, B]);
});

test.each([
  [
    ["models: [s3://lab/zoo/*]", "samples: s"],
    "line 2: models: s3://lab/zoo/*: a bucket's folders are named",
  ],
  [
    ["samples: s", `models: ["upload:${A}"]`],
    `line 3: models: upload:${A}: an upload has no name of its own`,
  ],
  [
    ["models: [s3://lab/one]", "samples: upload:short"],
    "line 3: samples: upload:short: must be upload: and 64",
  ],
  [["models: [s3://UP/one]", "samples: s"], "line 2: models: s3://UP/one: 'UP' cannot be a bucket's name"],
  [
    ["models: [s3://lab/one]", "samples: s", "s3: { endpoint: minio }"],
    'line 4: s3.endpoint "minio": must be a URL of http or https',
  ],
  [
    ["models: [s3://lab/one]", "samples: s", "overrides: { one: { base: 's3:x' } }"],
    'line 4: one: base "s3:x": s3:x: must be s3://BUCKET/FOLDER',
  ],
])("%j is refused with its line and key", (lines, problem) => {
  expect(() => read(...lines)).toThrow(InputError);
  expect(() => read(...lines)).toThrow(`friday.yaml ${problem}`);
});

/** A sweep in which each job has an upload of its own and one in common, and these states. */
function stateOf(uploads: readonly string[], jobs: readonly JobState[]): SweepsState {
  const spec = {
    ...sweepOf("friday", 0, { options: { samples: `upload:${C}` } }),
    jobs: uploads.map((digest, k) => ({ name: `m${k}`, model: `upload:${digest}`, options: {} })),
  };
  const movedAt = 0;
  const all = jobs.map((state, k) => ({ name: `m${k}`, state, attempt: 1, movedAt, searches: [] }));
  return { format: 1, sweeps: [{ spec, submittedAt: 0, jobs: all, served: 0 }] };
}

test("an upload is needed until every job that names it is done: one that failed or was cancelled may be retried", () => {
  const needed = (...jobs: readonly JobState[]) => [...neededUploads(stateOf([A, B], jobs))].sort();
  expect(needed(states.queued, states.done)).toEqual([A, C]);
  expect(needed(states.failed, states.cancelled)).toEqual([A, B, C]);
  expect(needed(states.done, states.done)).toEqual([]);
});

test("what is wrong with a model is said of its source, and what it held is let go", async () => {
  let released = 0;
  const bringHere = async () => ({
    options: { model: "/state/buckets/folders/1f2e" },
    sources: new Map([["/state/buckets/folders/1f2e", "s3://lab/broken"]]),
    release: () => void released++,
  });
  const open = openWithSources(async ({ options }) => {
    throw new Error(`${String(options.model)}/config.json: model_type "bert" is not known`);
  }, bringHere);
  const job = { sweep: "friday", job: "broken", options: {}, deviceClass: undefined };
  await expect(open(job, new AbortController().signal)).rejects.toThrow(
    's3://lab/broken/config.json: model_type "bert" is not known',
  );
  expect(released).toBe(1);
});
