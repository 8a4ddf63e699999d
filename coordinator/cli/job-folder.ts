import { existsSync, readFileSync } from "node:fs";
import {
  appendFile,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  truncate,
} from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest } from "../../proto/operations.ts";
import type { CommittedScan } from "../sweep/job-work.ts";
import { requireFreshFolder } from "./output.ts";

/**
 * The files of a job: in `.partial/<job>/<term>` beside `<out>` while it is worked on, in `<out>` once they are complete. What a commit in the log names lies on the disk
 * before the commit is made.
 *
 * The term is that of the coordinator that works on the job. One that was paused for so long that another took over knows another folder, which is gone: what it
 * still writes goes nowhere.
 */
export class JobFolder {
  readonly out: string;
  readonly #partial: string;

  private constructor(out: string, term: number) {
    this.out = out;
    // No job's name begins with a dot.
    this.#partial = join(dirname(out), ".partial", basename(out), String(term));
  }

  /** Takes over what coordinators of earlier terms left of the job. */
  static async open(out: string, term: number): Promise<JobFolder> {
    const folder = new JobFolder(out, term);
    const all = dirname(folder.#partial);
    await mkdir(all, { recursive: true });
    // Those of a higher one are its successor's: whoever finds them is deposed, and does not know it yet.
    const earlier = (await readdir(all)).filter((name) => !(Number(name) >= term));
    const last = Math.max(...earlier.map(Number).filter(Number.isInteger));
    if (last > 0 && !existsSync(folder.#partial)) await takeOver(join(all, String(last)), folder.#partial);
    for (const name of earlier) await rm(join(all, name), { recursive: true, force: true });
    return folder;
  }

  /**
   * Where the files of a job are made that has nothing committed: what an earlier attempt left has no meaning.
   *
   * @throws InputError where results of another job lie in its place
   */
  async beginFresh(): Promise<string> {
    requireFreshFolder(this.out);
    await rm(this.#partial, { recursive: true, force: true });
    return this.again();
  }

  /** The same of a job that goes on with its scan. Files that were complete, of a job that the log does not say is done, are of no use then. */
  async goOn(): Promise<string> {
    const partial = await this.again();
    await this.#clearPlace();
    await rm(join(partial, REPORT), { force: true });
    return partial;
  }

  /** Where the files are made of a job whose scan is over. */
  async again(): Promise<string> {
    await mkdir(this.#partial).catch(unlessThere);
    return this.#partial;
  }

  /** Keeps bytes under their digest. */
  async keep(bytes: Uint8Array): Promise<Digest> {
    const digest = digestOf(bytes);
    // Not what is above it: that is gone where another coordinator took over.
    await mkdir(join(this.#partial, KEPT)).catch(unlessThere);
    await this.#writeWhole(this.#kept(digest), bytes);
    return digest;
  }

  /** @throws Error where the bytes are gone or others */
  async kept(digest: Digest): Promise<Uint8Array> {
    const file = this.#kept(digest);
    const bytes = await readFile(file);
    if (digestOf(bytes) !== digest) throw new Error(`${file} is not what was written: retry the job`);
    return bytes;
  }

  /** Brings the trace of each search to what is committed: lines of steps that will be made again go away. */
  async cutTraces(committed: CommittedScan["resume"]): Promise<void> {
    for (const search of await this.#traces()) if (!committed.has(search)) await rm(this.#trace(search));
    for (const [search, done] of committed) {
      const steps = "result" in done ? done.result.steps : done.state.step;
      await cutToLines(this.#trace(search), 1 + steps);
    }
  }

  /** Adds lines to a search's trace, on the disk when this resolves. */
  async addToTrace(search: number, lines: readonly unknown[]): Promise<void> {
    const file = this.#trace(search);
    await appendFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    await syncFile(file);
  }

  /** Makes `trace.jsonl` of the searches' traces, in their order. */
  async joinTraces(): Promise<void> {
    const searches = await this.#traces();
    const whole = join(this.#partial, "trace.jsonl");
    if (!existsSync(whole)) {
      const aside = `${whole}.tmp`;
      await rm(aside, { force: true });
      for (const search of searches) await appendFile(aside, await readFile(this.#trace(search)));
      await rename(aside, whole);
    }
    for (const search of searches) await rm(this.#trace(search));
  }

  /** The report of a job whose files are complete; undefined where they are not. */
  report(): unknown {
    const file = [this.#partial, this.out].map((folder) => join(folder, REPORT)).find(existsSync);
    return file === undefined ? undefined : JSON.parse(readFileSync(file, "utf8"));
  }

  /** Says that all files are there. */
  async complete(report: unknown): Promise<void> {
    await syncBelow(this.#partial);
    await this.#writeWhole(join(this.#partial, REPORT), Buffer.from(`${JSON.stringify(report, null, 2)}\n`));
  }

  /** Puts a complete folder in place, without what was kept on the way. One that another coordinator completed has the same in it. */
  async publish(): Promise<void> {
    if (!existsSync(this.#partial)) return;
    await rm(join(this.#partial, KEPT), { recursive: true, force: true });
    await this.#clearPlace();
    await rename(this.#partial, this.out);
    await syncFile(dirname(this.out));
    // Where nothing else is in them.
    for (const above of [dirname(this.#partial), dirname(dirname(this.#partial))])
      await rmdir(above).catch(() => undefined);
  }

  /** Removes what lies in the job's place by way of this term's own folder: where that is gone, another coordinator has the job, and what lies there is its work. */
  async #clearPlace(): Promise<void> {
    const replaced = join(this.#partial, REPLACED);
    await rename(this.out, replaced).catch(unlessMissing);
    await rm(replaced, { recursive: true, force: true });
  }

  #kept(digest: Digest): string {
    return join(this.#partial, KEPT, digest);
  }

  #trace(search: number): string {
    return join(this.#partial, `trace-${search}.jsonl`);
  }

  /** Numbers of the searches that have a trace of their own, ascending. */
  async #traces(): Promise<number[]> {
    const found = (await readdir(this.#partial)).flatMap((file) => TRACE.exec(file)?.[1] ?? []);
    return found.map(Number).sort((a, b) => a - b);
  }

  async #writeWhole(file: string, bytes: Uint8Array): Promise<void> {
    const handle = await open(`${file}.tmp`, "w");
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${file}.tmp`, file);
    await syncFile(dirname(file));
  }
}

const REPORT = "report.json";
const KEPT = "kept";
const REPLACED = "replaced";
const TRACE = /^trace-(\d+)\.jsonl$/;

/** Makes a folder that holds what another one does: whole, or not at all. Files that are added to are copied, since somebody may have them open still. */
async function takeOver(from: string, to: string): Promise<void> {
  const aside = `${to}.tmp`;
  await rm(aside, { recursive: true, force: true });
  await mkdir(aside);
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    const source = join(entry.parentPath, entry.name);
    const target = join(aside, relative(from, source));
    if (entry.isDirectory()) await mkdir(target, { recursive: true });
    else {
      await mkdir(dirname(target), { recursive: true });
      if (TRACE.test(entry.name)) await copyFile(source, target);
      else await link(source, target).catch(() => copyFile(source, target));
    }
  }
  await syncBelow(aside);
  await rename(aside, to);
  await syncFile(dirname(to));
}

function unlessThere(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}

/** Waits until a file, or a folder's list of names, is on the disk. */
async function syncFile(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncBelow(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncBelow(path);
    else await syncFile(path);
  }
  await syncFile(folder);
}

async function cutToLines(file: string, count: number): Promise<void> {
  const bytes = existsSync(file) ? await readFile(file) : Buffer.alloc(0);
  let end = 0;
  for (let line = 0; line < count; line++) {
    end = bytes.indexOf("\n", end) + 1;
    if (end === 0)
      throw new Error(`${file} has ${line} lines, ${count} were committed: retry the job afresh`);
  }
  await truncate(file, end);
}
