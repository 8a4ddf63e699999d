import { adapterFilesAmong } from "../../worker/checkpoint/open-adapter.ts";
import { weightFilesAmong } from "../../worker/checkpoint/open-checkpoint.ts";
import { TOKENIZER_FILES } from "../data/tokenizer-files.ts";

/** The name of a file that may come from elsewhere: plain, so that it stays in the folder that it is put into. */
export const isPlainName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/.test(name);

export interface CheckpointFiles {
  /** In the order of the folder. */
  readonly names: readonly string[];
  readonly hasWeights: boolean;
}

/**
 * What commands read of a checkpoint folder, by the names in it: configuration, tokenizer, an adapter, and the weights that count where there are
 * several. States of optimisers, logs and other formats are not among them.
 */
export function checkpointFiles(names: readonly string[]): CheckpointFiles {
  const weights = [...weightFilesAmong(names), ...adapterFilesAmong(names)];
  const wanted = new Set<string>([...weights, "config.json", ...TOKENIZER_FILES]);
  return {
    names: names.filter((name) => isPlainName(name) && wanted.has(name)),
    hasWeights: weights.length > 0,
  };
}
