import { existsSync, statSync } from "node:fs";
import type { Language } from "../data/dead-code.ts";
import {
  type ReadOptions,
  readBigCloneBench,
  readCodeSearchNet,
  readDevign,
} from "../data/preprocess/data-sets.ts";
import { readSourceFiles, sourceFiles } from "../data/preprocess/source-files.ts";
import type { SourceFunction } from "../data/preprocess/source-function.ts";
import { InputError } from "./errors.ts";
import type { PreprocessOptions } from "./preprocess-options.ts";

/** Where functions come from. */
export interface FunctionSource {
  /** How errors and the report name it. */
  readonly name: string;
  /** Opens it; `onProgress` is told how much was read so far, of `total`. */
  open(onProgress: (done: number) => void): AsyncGenerator<SourceFunction>;
  readonly total: number;
  /** What `total` counts. */
  readonly unit: string;
}

type Task = PreprocessOptions["task"];

interface DataSet {
  readonly language: Language;
  readonly flag: "dataJsonPath" | "dataJsonlPath";
  readonly read: (file: string, options: ReadOptions) => AsyncGenerator<SourceFunction>;
}

const dataSets: Readonly<Record<Task, DataSet>> = {
  defect_detection: { language: "cpp", flag: "dataJsonPath", read: readDevign },
  clone_detection: { language: "java", flag: "dataJsonlPath", read: readBigCloneBench },
  code_search: { language: "python", flag: "dataJsonlPath", read: readCodeSearchNet },
};

const flagNames = {
  dataJsonPath: "--data-json-path",
  dataJsonlPath: "--data-jsonl-path",
  sourcePath: "--source-path",
} as const;

/** The one source that the options name. @throws InputError where it is none, several, or another task's */
export function functionSource(options: PreprocessOptions): FunctionSource {
  const { task } = options;
  const given = (["dataJsonPath", "dataJsonlPath", "sourcePath"] as const).filter(
    (name) => options[name] !== undefined,
  );
  const { flag, language, read } = dataSets[task];
  const [first, ...more] = given;
  if (first === undefined || more.length > 0) {
    throw new InputError(`${flagNames[flag]} or --source-path: give exactly one of the two`);
  }
  if (first === "sourcePath") return sourceCode(options);
  if (options.label !== undefined) {
    throw new InputError(`--label ${options.label}: rows of ${flagNames[first]} have their own`);
  }
  if (first !== flag) {
    throw new InputError(`${flagNames[first]}: for --task ${task} it is ${flagNames[flag]}`);
  }
  const files = [options[flag]!].flat();
  if (files.length > 1 && task !== "code_search") {
    throw new InputError(`${flagNames[flag]} ${files.join(",")}: one file only for --task ${task}`);
  }
  return dataFiles(files, (file, onBytes) => read(file, { language: options.lang ?? language, onBytes }));
}

function dataFiles(
  files: readonly string[],
  read: (file: string, onBytes: (bytes: number) => void) => AsyncGenerator<SourceFunction>,
): FunctionSource {
  const sizes = files.map((file) => (existsSync(file) ? statSync(file).size : 0));
  return {
    name: files.join(", "),
    total: kib(sizes.reduce((sum, size) => sum + size, 0)),
    unit: "KiB",
    async *open(onProgress) {
      let before = 0;
      let index = 0;
      for (const [k, file] of files.entries()) {
        for await (const each of read(file, (bytes) => onProgress(kib(before + bytes)))) {
          // Rows without an id of their own count through all files.
          const { idx } = each.before;
          yield typeof idx === "number" && k > 0 ? { ...each, before: { ...each.before, idx: index } } : each;
          index++;
        }
        before += sizes[k]!;
      }
    },
  };
}

const kib = (bytes: number): number => Math.ceil(bytes / 1024);

function sourceCode({ task, sourcePath, lang, label }: PreprocessOptions): FunctionSource {
  if (task !== "defect_detection") {
    throw new InputError(
      `--source-path ${sourcePath!.join(",")}: source files have no pairs and no queries; only for --task defect_detection`,
    );
  }
  const files = sourceFiles(sourcePath!, lang);
  let done = 0;
  return {
    name: sourcePath!.join(", "),
    total: files.length,
    unit: "files",
    open: (onProgress) =>
      readSourceFiles(files, {
        ...(label === undefined ? {} : { label }),
        onFile: () => onProgress(++done),
      }),
  };
}
