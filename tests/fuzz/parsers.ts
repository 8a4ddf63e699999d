/** Every parser of bytes that come from elsewhere. */
import { corpusOf } from "./corpus.ts";
import type { Files, Parser } from "./parser.ts";
import { backups } from "./parsers/backup.ts";
import { adapterConfig, config } from "./parsers/configs.ts";
import { messages } from "./parsers/messages.ts";
import { operations } from "./parsers/operations.ts";
import { pickleOfTorch } from "./parsers/pickle.ts";
import { results, tensorFiles } from "./parsers/results.ts";
import { safetensorsParser } from "./parsers/safetensors.ts";
import { samples } from "./parsers/samples.ts";
import { sweep } from "./parsers/sweep.ts";
import { tokenizer } from "./parsers/tokenizer.ts";
import { torchZip } from "./parsers/torch-zip.ts";
import { PLANTED_BUGS } from "./planted-bugs.ts";

export const PARSERS: readonly Parser[] = [
  pickleOfTorch,
  torchZip,
  safetensorsParser,
  config,
  adapterConfig,
  tokenizer,
  samples,
  messages,
  operations,
  results,
  tensorFiles,
  sweep,
  backups,
];

/** @param planted name of a bug that it gets */
export function parserOf(name: string, planted?: string): Parser {
  const parser = PARSERS.find((each) => each.name === name);
  if (parser === undefined)
    throw new Error(`there is no parser '${name}'; there are ${PARSERS.map((each) => each.name).join(", ")}`);
  return planted === undefined ? parser : PLANTED_BUGS[planted]!.plant(parser);
}

/** Inputs that each of a parser's runs begins with. */
export const knownInputs = (parser: Parser): Files[] => [
  ...Object.values(corpusOf(parser.name)),
  ...Object.values(parser.extremes?.() ?? {}),
];
