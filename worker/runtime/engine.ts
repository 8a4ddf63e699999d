import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { DeviceClass } from "../../proto/messages.ts";
import type {
  Digest,
  Operation,
  OperationResult,
  SampleSet,
  TensorMap,
  Vocabulary,
} from "../../proto/operations.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import type { Graph } from "../graph/index.ts";
import { type ResolveArtifact, readSampleSet, readVocabulary, readWeights } from "./artifacts.ts";
import { type Device, deviceOf } from "./device.ts";
import { Lru } from "./lru.ts";
import { type ModelFolder, openModelFolder, writeProgram } from "./model-folder.ts";
import type { Done, OperationContext } from "./operations/context.ts";
import { encode, predict, score } from "./operations/forward.ts";
import { gradient } from "./operations/gradient.ts";
import { rank } from "./operations/rank.ts";
import { scorePairs } from "./operations/score-pairs.ts";
import { trainRun } from "./operations/train-run.ts";
import { trainStep } from "./operations/train-step.ts";
import { programCost } from "./program-cost.ts";
import { checkSnippets } from "./rows.ts";
import { createSession, type Session } from "./session.ts";
import { type WrittenArtifact, withWriter } from "./written-artifact.ts";

export interface EngineOptions {
  readonly resolveArtifact: ResolveArtifact;
  /** A folder of this engine's own, for checkpoint files and the programs beside them. */
  readonly programFolder: string;
  /** Where artifacts of results are written; whoever runs operations takes them from there. Made where it is missing. */
  readonly resultFolder: string;
  /** Threads within an operator. They change no bit of a result. */
  readonly threads: number;
  /** What computes; absent: the CPU. */
  readonly device?: Device;
  /** Folder for a profile of each program, written when its session is released. Absent: none. */
  readonly profileFolder?: string;
  /** Checkpoints whose folders are kept, the least recently used one goes first. */
  readonly maxModels?: number;
  /** How much of compiled programs is kept, of all checkpoints together, by `programCost`; one program is kept in any case. */
  readonly maxPrograms?: number;
  /** Most tokens in one run of a program; results do not depend on it. */
  readonly tokensPerRun?: number;
  readonly log?: (message: string) => void;
}

/** A result whose artifacts are files yet, and belong to the receiver. */
export interface EngineResult extends OperationResult {
  readonly written?: readonly WrittenArtifact[];
}

/** Bytes of vectors of clone detection's second snippets that are kept: 4,096 of them for models of base size. */
const SNIPPET_BYTES = 12 * 2 ** 20;

/** On a CPU bigger runs are no faster, and need more memory; a GPU needs them to be busy. */
const tokensPerRunOf = ({ provider }: Device): number => (provider === "cpu" ? 2_048 : 32_768);

/**
 * Executes operations in this process with onnxruntime, one at a time in the order of the calls. A run blocks
 * the process. Operations that cannot be done reject with OperationFailed, ModelError or CheckpointError.
 */
export class Engine {
  readonly #device: Device;
  readonly #options: EngineOptions;
  readonly #models: Lru<ModelFolder>;
  readonly #sessions: Lru<Session>;
  readonly #samples = new Lru<SampleSet>(16);
  readonly #vocabularies = new Lru<Vocabulary>(4);
  /** Training asks for the same weights once per micro-batch, and never for older ones. */
  readonly #weights = new Lru<TensorMap>(1);
  /** Codes and queries of a step in code search. */
  readonly #vectors = new Lru<TensorMap>(4);
  readonly #snippetVectors = new VectorCache(SNIPPET_BYTES);
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#device = options.device ?? deviceOf("cpu");
    this.#sessions = new Lru(options.maxPrograms ?? 4, (session) => session.release());
    this.#models = new Lru(options.maxModels ?? 4, async ({ folder }) => {
      await this.#sessions.drop((key) => key.startsWith(`${folder} `));
      await rm(folder, { recursive: true, force: true });
    });
  }

  get deviceClass(): DeviceClass {
    return this.#device.deviceClass;
  }

  /**
   * Waits for the operations before it, then does this one.
   *
   * @param partDone called each time a part of a long operation is done
   */
  run(operation: Operation, partDone: () => Promise<void> = async () => {}): Promise<EngineResult> {
    return this.#inTurn(async () => {
      const context = await this.#context(operation.checkpoint, partDone);
      const startedAt = performance.now();
      const done = await withWriter(this.#options.resultFolder, (write) =>
        execute(operation, { ...context, write }),
      );
      return { ...done, seconds: (performance.now() - startedAt) / 1000 };
    });
  }

  /** Gives memory and folders back after the operations that were asked for. */
  close(): Promise<void> {
    return this.#inTurn(() => this.#models.drop(() => true));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #context(
    checkpoint: Digest,
    partDone: () => Promise<void>,
  ): Promise<Omit<OperationContext, "write">> {
    const { resolveArtifact, threads, profileFolder } = this.#options;
    const { provider } = this.#device;
    const { folder, weightsFolder, model } = await this.#models.get(checkpoint, () =>
      openModelFolder(checkpoint, this.#options),
    );
    return {
      model,
      tokensPerRun: this.#options.tokensPerRun ?? tokensPerRunOf(this.#device),
      session: (purpose, build, { packWeights = true } = {}) => {
        let built: Graph | undefined;
        const graph = () => {
          built ??= build(model);
          return built;
        };
        const create = async () => {
          const path = await writeProgram(graph(), folder);
          const profile = profileFolder && { profilePrefix: join(profileFolder, basename(path, ".onnx")) };
          return createSession(path, { provider, threads, packWeights, weightsFolder, ...profile });
        };
        return this.#sessions.get(`${folder} ${purpose}`, create, () => programCost(graph(), model));
      },
      samples: async (digest) => {
        const set = await this.#samples.get(digest, () => readSampleSet(resolveArtifact, digest));
        checkSnippets(set, digest, model.task);
        return set;
      },
      vocabulary: (digest) => this.#vocabularies.get(digest, () => readVocabulary(resolveArtifact, digest)),
      weights: (digest) => this.#weights.get(digest, () => readWeights(resolveArtifact, digest)),
      ownTensors: (digest) => readWeights(resolveArtifact, digest),
      partDone,
      vectors: (digest) => this.#vectors.get(digest, () => readWeights(resolveArtifact, digest)),
      snippetVectors: (keys, compute) =>
        this.#snippetVectors.get(
          keys.map((key) => `${checkpoint} ${key}`),
          compute,
        ),
    };
  }
}

function execute(operation: Operation, context: OperationContext): Promise<Done> {
  switch (operation.kind) {
    case "score":
      return score(operation, context);
    case "gradient":
      return gradient(operation, context);
    case "rank":
      return rank(operation, context);
    case "encode":
      return encode(operation, context);
    case "score-pairs":
      return scorePairs(operation, context);
    case "predict":
      return predict(operation, context);
    case "train-step":
      return trainStep(operation, context);
    case "train-run":
      return trainRun(operation, context);
  }
}
