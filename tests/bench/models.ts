import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadTokenizer, type TokenizerOptions } from "../../coordinator/data/tokenizer.ts";
import type { Digest, Task } from "../../proto/operations.ts";
import { type ModelConfig, parseConfig } from "../../worker/models/config.ts";
import type { RobertaConfig } from "../../worker/models/roberta/config.ts";
import { createLocalExecutor, type LocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { shapes } from "./model-shapes.ts";
import { writeRandomWeights } from "./random-weights.ts";

/** A model whose checkpoint lies in the bench's artifact folder. */
export interface BenchModel<C extends ModelConfig = ModelConfig> {
  /** What it is, for the report. */
  readonly about: string;
  readonly trained: boolean;
  readonly task: Task;
  readonly config: C;
  readonly checkpoint: Digest;
  /** Where `config.json` and weights lie. */
  readonly folder: string;
  /** Real rows for it; absent where `../shared` is. */
  readonly data?: BenchData;
}

/** Clean samples, and the tokenizer that reads them. */
export interface BenchData {
  readonly samples: string;
  readonly tokenizer: () => ReturnType<typeof loadTokenizer>;
}

interface ModelPlan {
  readonly shape: keyof typeof shapes;
  readonly task: Task;
  /** What the shape is called. */
  readonly called: string;
  /** Folder of trained weights in `../shared/golden/trained`. */
  readonly trained?: string;
  /** File of clean samples there. */
  readonly samples: readonly string[];
  readonly tokenizer: readonly [string, TokenizerOptions?];
}

const codebert = ["roberta-base", { specialTokens: "codebert" }] as const;
const defects = { task: "defect_detection", samples: ["defect-data", "clean_samples.jsonl"] } as const;
const clones = {
  task: "clone_detection",
  samples: ["clone-codet5-backdoored", "clean_samples.jsonl"],
} as const;

const plans = {
  small: {
    ...defects,
    shape: "small",
    called: "small model (3 layers × 64)",
    trained: "defect-codebert-backdoored",
    tokenizer: codebert,
  },
  base: { ...defects, shape: "base", called: "codebert-base shape (12 layers × 768)", tokenizer: codebert },
  codet5: {
    ...clones,
    shape: "codet5",
    called: "small CodeT5 for clones (2 + 2 layers × 64)",
    trained: "clone-codet5-backdoored",
    tokenizer: ["codet5-base"],
  },
  clones: { ...clones, shape: "middle", called: "CodeBERT for clones (4 layers × 256)", tokenizer: codebert },
  starcoder: {
    ...defects,
    shape: "starcoder",
    called: "StarCoder's kind (4 layers × 256)",
    tokenizer: ["starcoder"],
  },
  search: {
    task: "code_search",
    samples: ["search-codebert-backdoored", "clean_samples.jsonl"],
    shape: "search",
    called: "small model for code search (2 layers × 64)",
    trained: "search-codebert-backdoored",
    tokenizer: codebert,
  },
} as const satisfies Record<string, ModelPlan>;

export type ModelName = keyof typeof plans;

/** Models of one run of the bench: made or found when they are first asked for, all in one artifact folder. */
export class BenchModels {
  readonly #folder: string;
  readonly #say: (text: string) => void;
  readonly #models = new Map<ModelName, Promise<BenchModel>>();

  constructor(folder: string, say: (text: string) => void) {
    this.#folder = folder;
    this.#say = say;
  }

  /** Files named by digest, which the models are among. */
  get artifactFolder(): string {
    return join(this.#folder, "artifacts");
  }

  /** The backdoored model of `../shared`, where that is there; else random weights of its shape. */
  small = (): Promise<BenchModel<RobertaConfig>> => this.get("small") as Promise<BenchModel<RobertaConfig>>;

  /** Random weights in the shape of codebert-base. */
  base = (): Promise<BenchModel<RobertaConfig>> => this.get("base") as Promise<BenchModel<RobertaConfig>>;

  /** Trained weights of `../shared` where the plan names some and they are there, else random ones. */
  get(name: ModelName): Promise<BenchModel> {
    const known = this.#models.get(name) ?? this.#open(name, plans[name]);
    this.#models.set(name, known);
    return known;
  }

  /** Runs operations on the models in this process. */
  executor(threads: number): Promise<LocalExecutor> {
    return createLocalExecutor({ folder: this.#folder, threads });
  }

  async #open(name: ModelName, plan: ModelPlan): Promise<BenchModel> {
    const { task } = plan;
    const trained = hasShared && plan.trained !== undefined;
    const about = `${trained ? "trained" : "random"} ${plan.called}`;
    const folder = trained
      ? sharedPath("golden", "trained", plan.trained)
      : await this.#make(name, plan, about);
    const config = parseConfig(readFileSync(join(folder, "config.json"), "utf8"));
    const executor = await this.executor(1);
    const checkpoint = await putCheckpoint(executor, folder, task);
    await executor.close();
    return {
      about,
      trained,
      task,
      config,
      checkpoint,
      folder,
      ...(hasShared ? { data: dataOf(plan) } : {}),
    };
  }

  async #make(name: ModelName, { shape, task }: ModelPlan, about: string): Promise<string> {
    this.#say(`making the ${about}`);
    const folder = join(this.#folder, name);
    await mkdir(folder, { recursive: true });
    const json = JSON.stringify(shapes[shape]);
    await writeFile(join(folder, "config.json"), json);
    await writeRandomWeights(join(folder, "model.safetensors"), parseConfig(json), task);
    return folder;
  }
}

function dataOf({ samples, tokenizer: [name, options] }: ModelPlan): BenchData {
  let loaded: ReturnType<typeof loadTokenizer> | undefined;
  return {
    samples: sharedPath("golden", "trained", ...samples),
    tokenizer: () => {
      loaded ??= loadTokenizer(sharedPath("data", "tokenizers", name), options);
      return loaded;
    },
  };
}
