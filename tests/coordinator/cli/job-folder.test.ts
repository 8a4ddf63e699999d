import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { JobFolder } from "../../../coordinator/cli/job-folder.ts";
import type { CommittedScan } from "../../../coordinator/sweep/job-work.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const newFolder = (term = 1, out = join(tempFolder(), "job")) => JobFolder.open(out, term);
const lines = (...steps: number[]) => steps.map((step) => ({ step }));
/** What is committed of a scan, by the steps of its searches. */
const committed = (...steps: number[]) =>
  new Map(steps.map((step, search) => [search, { state: { step } }])) as unknown as CommittedScan["resume"];

test("a trace is cut to the steps that are committed, and joined in the order of the searches", async () => {
  const folder = await newFolder();
  const partial = await folder.beginFresh();
  // A first line, then one for each step; the last one of each was not committed.
  await folder.addToTrace(1, lines(0, 1, 2));
  await folder.addToTrace(0, lines(0, 1));
  await folder.addToTrace(0, lines(2, 3));
  await folder.addToTrace(2, lines(0, 1));
  await folder.cutTraces(committed(2, 1));
  await folder.addToTrace(0, lines(33));
  await folder.joinTraces();
  const steps = readFileSync(join(partial, "trace.jsonl"), "utf8").trim().split("\n");
  expect(steps.map((line) => JSON.parse(line).step)).toEqual([0, 1, 2, 33, 0, 1]);
  expect(readdirSync(partial)).toEqual(["trace.jsonl"]);
  await folder.joinTraces();
  expect(readdirSync(partial)).toEqual(["trace.jsonl"]);
});

test("a trace that lacks a committed step is named", async () => {
  const folder = await newFolder();
  await folder.beginFresh();
  await folder.addToTrace(0, lines(0, 1));
  await expect(folder.cutTraces(committed(2))).rejects.toThrow(
    /trace-0\.jsonl has 2 lines, 3 were committed: retry the job afresh/,
  );
  await expect(folder.cutTraces(committed(1, 1))).rejects.toThrow(
    "trace-1.jsonl has 0 lines, 2 were committed",
  );
});

test("what was kept comes back by its digest, and is refused where it is not what was written", async () => {
  const folder = await newFolder();
  const partial = await folder.beginFresh();
  const digest = await folder.keep(Buffer.from("weights"));
  expect(Buffer.from(await folder.kept(digest)).toString()).toBe("weights");
  writeFileSync(join(partial, "kept", digest), "weighst");
  await expect(folder.kept(digest)).rejects.toThrow("is not what was written: retry the job");
});

test("a folder is in its place when it is complete, with its report and without what was kept on the way", async () => {
  const folder = await newFolder();
  const partial = await folder.beginFresh();
  await folder.keep(Buffer.from("weights"));
  mkdirSync(join(partial, "repaired"));
  writeFileSync(join(partial, "repaired", "model.bin"), "");
  expect(folder.report()).toBeUndefined();
  await folder.complete({ asr: 1 });
  expect(existsSync(folder.out)).toBe(false);
  // Killed here, the next process finds the report and puts the folder in place.
  expect(folder.report()).toEqual({ asr: 1 });
  await folder.publish();
  expect(readdirSync(folder.out).sort()).toEqual(["repaired", "report.json"]);
  expect(existsSync(partial)).toBe(false);
  await folder.publish();
  expect(folder.report()).toEqual({ asr: 1 });
});

test("results of another job are not written over; those that the log does not know of are made again", async () => {
  const folder = await newFolder();
  await folder.beginFresh();
  await folder.complete({ asr: 1 });
  await folder.publish();
  await expect(folder.beginFresh()).rejects.toThrow("the folder is not empty");
  const again = await newFolder(2, folder.out);
  await again.goOn();
  expect(again.report()).toBeUndefined();
});

test("a coordinator of a later term takes over what is there; what the earlier one still writes goes nowhere", async () => {
  const earlier = await newFolder(3);
  const partial = await earlier.beginFresh();
  await earlier.addToTrace(0, lines(0, 1));
  const digest = await earlier.keep(Buffer.from("weights"));
  // A file that is open when the other one takes over, as of a process that is paused in a write.
  const open = openSync(join(partial, "trace-0.jsonl"), "a");
  onTestFinished(() => closeSync(open));

  const later = await newFolder(7, earlier.out);
  writeSync(open, '{"step":2}\n');
  await expect(earlier.addToTrace(0, lines(2))).rejects.toThrow("ENOENT");
  await expect(earlier.keep(Buffer.from("others"))).rejects.toThrow("ENOENT");
  await expect(earlier.complete({ asr: 0 })).rejects.toThrow("ENOENT");
  await earlier.publish();
  expect(existsSync(later.out)).toBe(false);

  await later.cutTraces(committed(1));
  await later.addToTrace(0, lines(22));
  expect(Buffer.from(await later.kept(digest)).toString()).toBe("weights");
  await later.joinTraces();
  await later.complete({ asr: 1 });
  await later.publish();
  const steps = readFileSync(join(later.out, "trace.jsonl"), "utf8").trim().split("\n");
  expect(steps.map((line) => JSON.parse(line).step)).toEqual([0, 1, 22]);
  expect(readdirSync(dirname(later.out))).toEqual(["job"]);
});

test("a coordinator that was paused does not remove what another one has put in place since", async () => {
  const paused = await newFolder(3);
  const beginning = await newFolder(3, paused.out);
  await paused.beginFresh();
  await paused.complete({ asr: 0 });
  const later = await newFolder(7, paused.out);
  await later.goOn();
  await later.complete({ asr: 1 });
  await later.publish();
  // It saw its own folder, and then another one took over.
  mkdirSync(dirname(dirname(later.out)), { recursive: true });
  await expect(beginning.goOn()).rejects.toThrow("ENOENT");
  await paused.publish();
  expect(later.report()).toEqual({ asr: 1 });
});

test("of several folders that earlier terms left the latest counts, and all of them go; a later term's stays", async () => {
  const out = join(tempFolder(), "job");
  const all = join(dirname(out), ".partial", "job");
  for (const term of ["2", "5", "3", "6.tmp"]) {
    mkdirSync(join(all, term), { recursive: true });
    writeFileSync(join(all, term, "trace-0.jsonl"), `{"step":${Number.parseInt(term, 10)}}\n`);
  }
  const folder = await newFolder(9, out);
  await folder.joinTraces();
  expect(readFileSync(join(all, "9", "trace.jsonl"), "utf8")).toBe('{"step":5}\n');
  mkdirSync(join(all, "10"));
  // Opened again in the same term, as for a retry, it is as it was.
  await newFolder(9, out);
  expect(readdirSync(all).sort()).toEqual(["10", "9"]);
  expect(readdirSync(join(all, "9"))).toEqual(["trace.jsonl"]);
});
