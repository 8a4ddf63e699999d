import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BenchRun, reportMarkdown } from "./report.ts";

/** Saves a run as JSON under its time and returns the path. */
export async function saveRun(run: BenchRun, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${run.startedAt.replaceAll(":", "-")}.json`);
  await writeWhole(path, `${JSON.stringify(run, null, 2)}\n`);
  return path;
}

const [BEGIN, END] = ["<!-- bench: begin -->", "<!-- bench: end -->"];

/** What stands before and after a run's table in a Markdown file. Rejects where the file has no two marks. */
export async function readDocument(
  path: string,
): Promise<{ readonly before: string; readonly after: string }> {
  const text = await readFile(path, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${path} has no lines '${BEGIN}' and '${END}'`);
  return { before: text.slice(0, begin + BEGIN.length), after: text.slice(end) };
}

/** Puts a run's table between the two marks of a Markdown file. */
export async function writeIntoDocument(run: BenchRun, path: string): Promise<void> {
  const { before, after } = await readDocument(path);
  await writeWhole(path, `${before}\n\n${reportMarkdown(run)}\n\n${after}`);
}

async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.partial`, text);
  await rename(`${path}.partial`, path);
}
