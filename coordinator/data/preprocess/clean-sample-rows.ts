import { requireKnownPair } from "../clone-pairs.ts";
import { type CleanSampleSettings, drawCleanSamples } from "./clean-samples.ts";
import { idField, labelField } from "./fields.ts";
import { type Pair, readPairs } from "./pairs.ts";
import { type FileRecord, readRecords } from "./read-records.ts";

type Row = Readonly<Record<string, unknown>>;

/**
 * Clean samples from a file of preprocessed rows, in the order of the file of clean samples. The file is read twice: only what is drawn is held.
 *
 * @param labelOf label of a row; the same for all rows in code search
 * @throws SamplesError where the rows do not have the expected labels
 */
export async function cleanSampleRows(
  file: string,
  labelOf: (record: FileRecord) => number,
  settings: CleanSampleSettings,
): Promise<Row[]> {
  const labels: number[] = [];
  for await (const record of readRecords(file)) labels.push(labelOf(record));
  return pickInOrder(readRecords(file), drawCleanSamples(labels, settings), ({ value }) => value);
}

/** The label of a row of defect detection, and that of any row of code search. */
export const labelOfRow = (record: FileRecord): number => labelField(record, "label");
export const oneLabel = (): number => 0;

/**
 * The same for pairs of functions: rows with both functions side by side.
 *
 * @param pairFile pairs to draw from; `dataFile` holds the preprocessed functions
 * @throws SamplesError where a drawn pair names a function that `dataFile` does not have
 */
export async function cleanSamplePairs(
  dataFile: string,
  pairFile: string,
  settings: CleanSampleSettings,
): Promise<Row[]> {
  const labels: number[] = [];
  for await (const { label } of readPairs(pairFile)) labels.push(label);
  const drawn = await pickInOrder(readPairs(pairFile), drawCleanSamples(labels, settings), (pair) => pair);
  const wanted = new Set(drawn.flatMap(({ url1, url2 }) => [url1, url2]));
  const functions = new Map<string, Row>();
  for await (const record of readRecords(dataFile)) {
    const idx = idField(record);
    if (wanted.has(idx)) functions.set(idx, record.value);
  }
  return drawn.map((pair) => pairRow(pair, functionsOf(pair, functions, pairFile, dataFile)));
}

function functionsOf(
  { line, url1, url2 }: Pair,
  functions: ReadonlyMap<string, Row>,
  pairFile: string,
  dataFile: string,
): readonly [Row, Row] {
  requireKnownPair({ line, first: url1, second: url2 }, (id) => functions.has(id), {
    pairFile,
    functionFile: dataFile,
  });
  return [functions.get(url1)!, functions.get(url2)!];
}

function pairRow({ url1, url2, label }: Pair, [first, second]: readonly [Row, Row]): Row {
  const numbered = (row: Row, number: 1 | 2): Row =>
    Object.fromEntries(
      ["code", "code_tokens", "func_name", "variables"]
        .filter((field) => row[field] !== undefined)
        .map((field) => [`${field}${number}`, row[field]]),
    );
  const { language } = first;
  return { url1, url2, ...numbered(first, 1), ...numbered(second, 2), language, label };
}

/** The items at some indexes, in the order of the indexes; the others are passed by. */
async function pickInOrder<T, R>(
  items: AsyncIterable<T>,
  indexes: readonly number[],
  take: (item: T) => R,
): Promise<R[]> {
  const wanted = new Set(indexes);
  const found = new Map<number, R>();
  let index = 0;
  for await (const item of items) {
    if (wanted.has(index)) found.set(index, take(item));
    index++;
  }
  return indexes.map((each) => found.get(each)!);
}
