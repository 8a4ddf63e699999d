import { SamplesError } from "../errors.ts";
import { PythonRandom } from "../python-random.ts";

export interface CleanSampleSettings {
  /** Below 1 the share of all rows, divided among the labels; else the rows of each label. */
  readonly ratio: number;
  /** Number of labels that the rows have to have. */
  readonly labels: number;
  readonly seed: number;
  /** Where errors say that the rows are from. */
  readonly file?: string;
}

/**
 * Draws clean samples as the published `extract_clean_samples` does: Python's `random.sample` for each label, in the order in which the labels
 * first occur, then in the order of the labels. Unlike there, rows of code search count as one label, which is what its code means.
 *
 * @param labels label of each row
 * @returns indexes of the drawn rows, in the order of the file of clean samples
 * @throws SamplesError where the rows have another number of labels, or a share that gives no row
 */
export function drawCleanSamples(labels: readonly number[], settings: CleanSampleSettings): number[] {
  const place = settings.file === undefined ? {} : { file: settings.file };
  const rowsOfLabel = new Map<number, number[]>();
  for (const [index, label] of labels.entries()) {
    const rows = rowsOfLabel.get(label);
    if (rows) rows.push(index);
    else rowsOfLabel.set(label, [index]);
  }
  if (rowsOfLabel.size !== settings.labels) {
    const found = [...rowsOfLabel.keys()].sort((a, b) => a - b).join(", ") || "none";
    throw new SamplesError(`the rows to draw from have other labels: ${found}`, {
      ...place,
      ...{ field: "labels", value: settings.labels },
    });
  }
  const { ratio } = settings;
  const share = Math.floor((labels.length * ratio) / rowsOfLabel.size);
  const size = ratio < 1 ? share : ratio;
  if (size === 0) {
    const problem = `gives no sample: it is a share of ${labels.length} rows`;
    throw new SamplesError(problem, { ...place, field: "clean_sample_ratio", value: ratio });
  }
  const random = new PythonRandom(settings.seed);
  const drawn = [...rowsOfLabel.values()].flatMap((rows) =>
    random.sample(rows.length, Math.min(rows.length, size)).map((place) => rows[place]!),
  );
  return drawn.sort((a, b) => labels[a]! - labels[b]!);
}
