import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Digest, Executor, Task } from "../../proto/operations.ts";
import { ADAPTER_CONFIG, isAdapter } from "../../worker/checkpoint/open-adapter.ts";
import { hasWeights } from "../../worker/checkpoint/open-checkpoint.ts";
import type { Checkpoint } from "../../worker/checkpoint/tensor-entry.ts";
import { checkTiedNames } from "../../worker/checkpoint/tied-names.ts";
import { verifyWeights } from "../../worker/checkpoint/verify-weights.ts";
import { longestRow, type ModelConfig, parseConfig } from "../../worker/models/config.ts";
import { type ModelLayout, recogniseLayout } from "../../worker/models/layout.ts";
import { type OpenedWeights, openWeights } from "../../worker/runtime/open-weights.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import {
  type Arch,
  checkTokenizerFits,
  familyOfModel,
  type Tokenizer,
  tokenizerOptionsOf,
} from "../data/tokenizer.ts";
import { InputError } from "./errors.ts";
import { readInputFile } from "./input-file.ts";
import { requireFolder } from "./named-paths.ts";
import { sharedTokenizer } from "./shared-tokenizers.ts";

/** A checkpoint folder whose files fit together: what commands work with. */
export interface OpenedModel extends OpenedWeights {
  /** Path of the `config.json` in use: the folder's own, else the base folder's. */
  readonly configFile: string;
  readonly config: ModelConfig;
  readonly layout: ModelLayout;
  readonly task: Task;
  /** Labels that the head tells apart: 2 for one logit. */
  readonly labels: number;
}

export interface ModelOptions {
  readonly model: string;
  readonly base?: string | undefined;
  readonly task: Task;
  /** Longest row that the model is to read; absent: not checked. */
  readonly codeMaxLen?: number;
  /** Longest query that a code-search model is to read; absent: not checked. */
  readonly nlMaxLen?: number | undefined;
}

/** The folder itself, or the base folder, that has a file; undefined where none has. */
function folderWith(file: string, { model, base }: Pick<ModelOptions, "model" | "base">): string | undefined {
  return [model, base].find((folder) => folder !== undefined && existsSync(join(folder, file)));
}

/**
 * Opens a checkpoint folder: weights' headers, configuration, and whether the tensors are the model's. Nothing is loaded yet.
 *
 * @throws InputError, CheckpointError or ModelError with file, field and value
 */
export async function openModel(options: ModelOptions): Promise<OpenedModel> {
  const { model, base, task, codeMaxLen, nlMaxLen } = options;
  requireFolder("--model", model);
  if (base !== undefined) requireFolder("--base", base);
  const weights = isAdapter(model) ? await openOverBase(model, base) : await openWeights(model);
  const home = folderWith("config.json", options);
  if (home === undefined) {
    throw new InputError(
      `--model ${model}: no config.json in it${base === undefined ? "; name a folder that has one with --base" : `, nor in --base ${base}`}`,
    );
  }
  const configFile = join(home, "config.json");
  const config = parseConfig(readInputFile("", configFile), configFile);
  const layout = layoutFor(task, config, weights);
  if (codeMaxLen !== undefined) requireReadable(codeMaxLen, config, configFile);
  if (task === "code_search" && nlMaxLen !== undefined)
    requireReadable(nlMaxLen, config, configFile, "--nl-max-len");
  return { ...weights, configFile, config, layout, task, labels: layout.classes === 1 ? 2 : layout.classes };
}

/** An adapter folder and the base that it is over: another folder, or the same where the base's weights lie beside the adapter. */
async function openOverBase(adapter: string, base: string | undefined): Promise<OpenedWeights> {
  const folder = base ?? adapter;
  if (base !== undefined && isAdapter(base)) {
    throw new InputError(
      `--base ${base}: is a LoRA adapter itself (${ADAPTER_CONFIG}); name the model that it is over`,
    );
  }
  if (base === undefined && !hasWeights(adapter)) {
    throw new InputError(
      `--model ${adapter}: a LoRA adapter (${ADAPTER_CONFIG}); name the folder of the checkpoint that it is over with --base`,
    );
  }
  return openWeights(folder, adapter);
}

const tasks = ["defect_detection", "clone_detection", "code_search"] as const satisfies readonly Task[];

/** Where the tensors are not the task's but another one's, that is what went wrong. */
function layoutFor(
  task: Task,
  config: ModelConfig,
  { checkpoint, adapter, tensors }: OpenedWeights,
): ModelLayout {
  const fits = (other: Task): boolean => {
    try {
      return other !== task && recogniseLayout(config, tensors, other) !== undefined;
    } catch {
      return false;
    }
  };
  try {
    return recogniseLayout(config, tensors, task);
  } catch (cause) {
    const others = tasks.filter(fits);
    if (others.length === 0) throw cause;
    const reason = (cause as Error).message;
    const { folder } = adapter?.weights ?? checkpoint;
    throw new InputError(`--task ${task}: ${folder} is a checkpoint of ${others.join(" or ")}; ${reason}`, {
      cause,
    });
  }
}

/** The same, and reads every weight once: a flipped bit or a NaN is named before anything computes with it. */
export async function openWholeModel(options: ModelOptions): Promise<OpenedModel> {
  const opened = await openModel(options);
  await verifyModel(opened);
  await checkTiedNames(opened.tensors, opened.layout.tied);
  return opened;
}

/** Reads every weight once, an adapter's too. */
export async function verifyModel({ checkpoint, adapter }: OpenedWeights): Promise<void> {
  await verifyWeights(checkpoint);
  if (adapter !== undefined) await verifyWeights(adapter.weights);
}

/** Paths of all files with weights. */
export const weightFiles = ({ checkpoint, adapter }: OpenedWeights): string[] => [
  ...checkpoint.files,
  ...(adapter?.weights.files ?? []),
];

/** @throws InputError for rows longer than the model's positions */
export function requireReadable(
  tokens: number,
  config: ModelConfig,
  configFile: string,
  flag = "--code-max-len",
): void {
  const longest = longestRow(config);
  if (longest === undefined || tokens <= longest.tokens) return;
  throw new InputError(
    `${flag} ${tokens}: the model reads at most ${longest.tokens} tokens (${configFile}: ${longest.because})`,
  );
}

/**
 * The tokenizer beside the checkpoint, else the base folder's; it must be of the model's family and fit the embedding table.
 *
 * @throws InputError for an `--arch` that is not the model's; TokenizerError
 */
export function openTokenizer(
  options: Pick<ModelOptions, "model" | "base"> & { readonly arch?: Arch | undefined },
  opened: Pick<OpenedModel, "config"> & { readonly checkpoint: Pick<Checkpoint, "files"> },
): Tokenizer {
  const folder = tokenizerFolder(options);
  if (folder === undefined) {
    const where =
      options.base === undefined
        ? "; name a folder that has one with --base"
        : `, nor in --base ${options.base}`;
    throw new InputError(
      `--model ${options.model}: no tokenizer in it (vocab.json and merges.txt, or tokenizer.json)${where}`,
    );
  }
  const { modelType, vocabSize } = opened.config;
  const family = familyOfModel[modelType];
  const asked = options.arch === undefined ? {} : tokenizerOptionsOf(options.arch);
  if (asked.family !== undefined && asked.family !== family) {
    throw new InputError(`--arch ${options.arch}: the model's config.json has model_type "${modelType}"`);
  }
  const tokenizer = sharedTokenizer(folder, { ...(family && { family }), ...asked });
  checkTokenizerFits(tokenizer, vocabSize, opened.checkpoint.files[0] ?? options.model);
  checkPadding(tokenizer, opened.config);
  return tokenizer;
}

/** @throws InputError where model and tokenizer pad with different ids. StarCoder's configuration says nothing about it. */
function checkPadding(tokenizer: Tokenizer, { padId }: Pick<ModelConfig, "padId">): void {
  if (tokenizer.family === "starcoder" || tokenizer.ids.pad === padId) return;
  throw new InputError(
    `${tokenizer.file}: pads with id ${tokenizer.ids.pad}, but the model's config.json has pad_token_id ${padId}: not this model's tokenizer`,
  );
}

export const tokenizerFolder = (options: Pick<ModelOptions, "model" | "base">): string | undefined =>
  folderWith("vocab.json", options) ?? folderWith("tokenizer.json", options);

/** Gives a checkpoint's files to the executor and returns the digest of its manifest, which operations name. */
export const publishCheckpoint = (
  executor: Executor,
  { checkpoint, adapter, configFile, task }: OpenedModel,
): Promise<Digest> =>
  putCheckpoint(executor, checkpoint.folder, task, {
    configFile,
    ...(adapter && { adapter: adapter.weights.folder }),
  });
