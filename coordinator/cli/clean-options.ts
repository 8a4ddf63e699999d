import { generalOptions, outOption, seedOption } from "./common-options.ts";
import type { OptionSpecs, Parsed } from "./options.ts";
import { repairOptions } from "./repair-options.ts";
import { searchOptions, taskSearchOptions } from "./scan-options.ts";
import { taskModelOptions, taskSamplesOptions } from "./task-options.ts";

/** What one model is scanned, repaired and measured with: by `elibad clean`, or as a job of a sweep. */
export const cleanOptions = {
  ...taskModelOptions,
  ...taskSamplesOptions,
  ...searchOptions,
  ...taskSearchOptions,
  ...repairOptions,
  ...outOption,
  ...seedOption,
  ...generalOptions,
} satisfies OptionSpecs;

export type CleanOptions = Parsed<typeof cleanOptions>;
