import { parseSource, SourceError, sourceText } from "../sources/source.ts";
import { jobOptions, type SweepSpec, type SweepsState } from "../sweep/sweep.ts";
import { InputError } from "./errors.ts";
import { remoteOptions } from "./local-sources.ts";

/** What a sweep file calls a folder or file, as the log has it: an absolute path, or the text of another source. @throws InputError naming the place */
export function absoluteSource(place: string, text: string, folder: string): string {
  try {
    return sourceText(parseSource(text, folder));
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    throw new InputError(`${place}: ${error.message}`, { cause: error });
  }
}

/** Manifests of the uploads that a sweep names. */
export const uploadsOf = (spec: SweepSpec): Set<string> =>
  new Set(spec.jobs.flatMap((job) => manifestsIn(jobOptions(spec, job))));

/** Manifests of the uploads that are needed still: by jobs that are not done, since one that failed or was cancelled may be retried. */
export function neededUploads({ sweeps }: SweepsState): Set<string> {
  const needed = sweeps.flatMap(({ spec, jobs }) =>
    spec.jobs.flatMap((job, k) =>
      jobs[k]!.state.phase === "done" ? [] : manifestsIn(jobOptions(spec, job)),
    ),
  );
  return new Set(needed);
}

const manifestsIn = (options: Readonly<Record<string, unknown>>): string[] =>
  remoteOptions(options).flatMap(({ text }) => {
    const source = parseSource(text, "/");
    return source.kind === "upload" ? [source.manifest] : [];
  });
