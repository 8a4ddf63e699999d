import { stat } from "node:fs/promises";
import { isScalar, type Node, Scalar } from "yaml";
import { isRemote } from "../sources/source.ts";
import { jobOptions, type SweepSpec } from "../sweep/sweep.ts";
import type { LeaderCalls } from "./leader-calls.ts";
import { filesToSend, type Outgoing, outgoing } from "./local-files.ts";
import { wantedOf } from "./local-sources.ts";
import { configKeyOf } from "./options.ts";
import type { Display } from "./progress.ts";
import { type SentFiles, sendFiles } from "./send-files.ts";
import { parseSweep } from "./sweep-file.ts";
import { isPathOption, optionOfKey } from "./sweep-settings.ts";
import { absoluteSource } from "./sweep-sources.ts";
import { parseYaml } from "./yaml-file.ts";

const MEGABYTE = 1e6;

export interface UploadedSweep extends SentFiles {
  /** The sweep's YAML with uploads in the place of this machine's paths. */
  readonly text: string;
}

/**
 * Sends the models and samples of a sweep that lie on this machine to the coordinator, as far as it does not have them.
 *
 * @param file the sweep's name in errors, its text, and the folder that its relative paths begin in
 * @throws InputError naming file, line and key; what `sendFiles` throws
 */
export async function uploadSweep(
  file: { readonly name: string; readonly text: string; readonly folder: string },
  calls: Pick<LeaderCalls, "with">,
  { display, signal }: { readonly display: Display; readonly signal: AbortSignal },
): Promise<UploadedSweep> {
  const spec = parseSweep(parseYaml(file.name, file.text), file.folder);
  const found = await outgoingOf(file.name, spec, { display, signal });
  const files = [...found.values()].flatMap((each) => each.files);
  const distinct = new Map(files.map(({ digest, bytes }) => [digest, bytes]));
  const show = counter("uploading", sum(distinct.values()), display);
  const sent = await sendFiles(calls, files, { signal, onBytes: show });
  return { ...sent, text: withUploads(file, spec, found) };
}

/** By absolute path, what is sent of it. Every path is read once, however many jobs name it. */
async function outgoingOf(
  file: string,
  spec: SweepSpec,
  { display, signal }: { readonly display: Display; readonly signal: AbortSignal },
): Promise<Map<string, Outgoing>> {
  const paths = new Map<string, string[]>();
  for (const job of spec.jobs) {
    for (const [name, path] of Object.entries(jobOptions(spec, job))) {
      if (typeof path !== "string" || !isPathOption(name) || isRemote(path) || paths.has(path)) continue;
      paths.set(path, await filesToSend(`${file}: ${configKeyOf(name)}`, path, wantedOf(name)));
    }
  }
  const sizes = await Promise.all([...paths.values()].flat().map(async (path) => (await stat(path)).size));
  const onBytes = counter("reading", sum(sizes), display);
  const found = new Map<string, Outgoing>();
  for (const [path, files] of paths) found.set(path, await outgoing(files, { signal, onBytes }));
  return found;
}

/** The same sweep, with its models named one by one, and each path of this machine as the upload that it has become. */
function withUploads(
  { name, text, folder }: { readonly name: string; readonly text: string; readonly folder: string },
  spec: SweepSpec,
  found: ReadonlyMap<string, Outgoing>,
): string {
  const { document } = parseYaml(name, text);
  const uploaded = (path: string): string => {
    const manifest = found.get(absoluteSource(name, path, folder))?.manifest;
    return manifest === undefined ? path : `upload:${manifest}`;
  };
  document.set(
    "models",
    document.createNode(spec.jobs.map(({ name, model }) => ({ [name]: uploaded(model) }))),
  );
  document.delete("list_file");
  const replaceIn = (path: readonly string[]): void => {
    const node = document.getIn(path, true) as Node | undefined;
    if (isScalar(node) && typeof node.value === "string")
      document.setIn(path, new Scalar(uploaded(node.value)));
  };
  for (const key of ["base", "samples", "held_out"]) replaceIn([key]);
  const { settings, overrides } = document.toJS() as {
    readonly settings?: object | null;
    readonly overrides?: Readonly<Record<string, object>> | null;
  };
  for (const key of Object.keys(settings ?? {})) if (isPathKey(key)) replaceIn(["settings", key]);
  for (const [pattern, values] of Object.entries(overrides ?? {}))
    for (const key of Object.keys(values)) if (isPathKey(key)) replaceIn(["overrides", pattern, key]);
  return String(document);
}

const isPathKey = (key: string): boolean => isPathOption(optionOfKey(key) ?? "");

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, one) => total + one, 0);

/** Shows how many megabytes are done. */
function counter(phase: string, total: number, display: Display): (bytes: number) => void {
  let done = 0;
  const shown = (bytes: number): number => Math.round(bytes / MEGABYTE);
  return (bytes) => {
    done += bytes;
    // A last event ends the bar, and a total of no megabytes would be one at once.
    const isOver = done >= total;
    display.progress({
      phase,
      done: isOver ? Math.max(1, shown(total)) : Math.min(shown(done), Math.max(0, shown(total) - 1)),
      total: Math.max(1, shown(total)),
      unit: "MB",
    });
  };
}
