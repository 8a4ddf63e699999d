import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../proto/operations.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { scratchTensors } from "../../worker/models/layout.ts";
import { parseRobertaConfig, type RobertaConfig } from "../../worker/models/roberta/config.ts";
import { createLocalExecutor, type LocalExecutor } from "../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../worker/runtime/put-checkpoint.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { uniform } from "../support/uniform.ts";

/** A model whose checkpoint lies in the bench's artifact folder. */
export interface BenchModel {
  /** What it is, for the report. */
  readonly about: string;
  readonly trained: boolean;
  readonly config: RobertaConfig;
  readonly checkpoint: Digest;
  /** Where `config.json` and weights lie. */
  readonly folder: string;
}

const codebertBase = {
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
};
const smallShape = {
  hidden_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  intermediate_size: 256,
};
const common = {
  model_type: "roberta",
  vocab_size: 50_265,
  max_position_embeddings: 514,
  type_vocab_size: 1,
  layer_norm_eps: 1e-5,
};

/** Models of one run of the bench: made or found when they are first asked for, all in one artifact folder. */
export class BenchModels {
  readonly #folder: string;
  readonly #say: (text: string) => void;
  #small: Promise<BenchModel> | undefined;
  #base: Promise<BenchModel> | undefined;

  constructor(folder: string, say: (text: string) => void) {
    this.#folder = folder;
    this.#say = say;
  }

  /** Files named by digest, which the models are among. */
  get artifactFolder(): string {
    return join(this.#folder, "artifacts");
  }

  /** The backdoored model of `../shared`, where that is there; else random weights of its shape. */
  small(): Promise<BenchModel> {
    this.#small ??= hasShared
      ? this.#put(
          sharedPath("golden", "trained", "defect-codebert-backdoored"),
          "trained small model (3 layers × 64)",
          true,
        )
      : this.#make("small", smallShape, "random small model (3 layers × 64)");
    return this.#small;
  }

  /** Random weights in the shape of codebert-base. */
  base(): Promise<BenchModel> {
    this.#base ??= this.#make("base", codebertBase, "random codebert-base shape (12 layers × 768)");
    return this.#base;
  }

  /** Runs operations on the models in this process. */
  executor(threads: number): Promise<LocalExecutor> {
    return createLocalExecutor({ folder: this.#folder, threads });
  }

  async #make(name: string, shape: typeof codebertBase, about: string): Promise<BenchModel> {
    this.#say(`making the ${about}`);
    const folder = join(this.#folder, name);
    await mkdir(folder, { recursive: true });
    const json = JSON.stringify({ ...common, ...shape });
    await writeFile(join(folder, "config.json"), json);
    await writeRandomWeights(
      join(folder, "model.safetensors"),
      parseRobertaConfig(JSON.parse(json), "config.json"),
    );
    return this.#put(folder, about, false);
  }

  async #put(folder: string, about: string, trained: boolean): Promise<BenchModel> {
    const config = parseRobertaConfig(
      JSON.parse(readFileSync(join(folder, "config.json"), "utf8")),
      "config.json",
    );
    const executor = await this.executor(1);
    const checkpoint = await putCheckpoint(executor, folder, "defect_detection");
    await executor.close();
    return { about, trained, config, checkpoint, folder };
  }
}

/** Standard deviation of weights before training (Hugging Face's `initializer_range`). */
const DEVIATION = 0.02;

/**
 * Weights that cost the time of real ones: LayerNorm weights 1, biases 0, the rest uniform noise. Tensors are windows of one
 * noise array, since drawing 125 million numbers would take longer than the measurement.
 */
async function writeRandomWeights(path: string, config: RobertaConfig): Promise<void> {
  const shapes = scratchTensors(config, "defect_detection");
  const counts = shapes.map(({ shape }) => shape.reduce((product, dim) => product * dim, 1));
  const noise = uniformNoise(Math.max(...counts), DEVIATION * Math.sqrt(3));
  let start = 0;
  const tensors = shapes.map(({ name, shape }, k) => {
    const count = counts[k]!;
    if (start + count > noise.length) start = 0;
    const window = noise.subarray(start, start + count);
    start += count;
    const data = name.endsWith("LayerNorm.weight")
      ? new Float32Array(count).fill(1)
      : name.endsWith("bias")
        ? new Float32Array(count)
        : window;
    return { name, dtype: "float32", shape, data } as const;
  });
  await writeSafetensors(path, tensors);
}

/** Uniform in [−most, most). */
function uniformNoise(count: number, most: number): Float32Array {
  const draw = uniform(7);
  const noise = new Float32Array(count);
  for (let k = 0; k < count; k++) noise[k] = (2 * draw() - 1) * most;
  return noise;
}
