import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { SampleSet, Tensor, TensorMap, TrainRunOperation } from "../../../proto/operations.ts";
import { featureSize } from "../../models/features.ts";
import { AdamW, type Moments } from "../../training/adamw.ts";
import { type Network, type Training, takeStep } from "../../training/take-step.ts";
import { sampleRow } from "../rows.ts";
import type { WrittenArtifact } from "../written-artifact.ts";
import type { Done, OperationContext } from "./context.ts";
import { fedWeights } from "./fed-weights.ts";
import { features } from "./forward.ts";
import { checkStep } from "./train-objective.ts";
import { microBatchGradients } from "./train-step.ts";

/** Optimiser steps, one after the other: their losses and gradient norms, and the state after the last one as artifacts. */
export async function trainRun(operation: TrainRunOperation, context: OperationContext): Promise<Done> {
  checkRun(operation, context);
  const samples = await context.samples(operation.samples);
  const run = await openRun(operation, context);
  const network = new LocalNetwork(operation, { samples, weights: run.fed }, context);
  const losses = new Float64Array(operation.steps.length);
  const norms = new Float64Array(operation.steps.length);
  for (const [index, step] of operation.steps.entries()) {
    const { loss, gradNorm } = await takeStep(step, network, run.training);
    checkUpdate(operation.state.steps + index, loss, gradNorm);
    losses[index] = loss;
    norms[index] = gradNorm;
  }
  const { forwards, tokens } = network;
  const tensors = { losses: vector(losses), norms: vector(norms) };
  return { tensors, written: await writeState(run.training, context), forwards, tokens };
}

/** Throws OperationFailed where a step's numbers do not belong together, or to the model's task. */
function checkRun({ steps, dropout, maxGradNorm }: TrainRunOperation, { model }: OperationContext): void {
  const fail = (reason: string): never => {
    throw new OperationFailed(`train-run: ${reason}`);
  };
  if (steps.length === 0) fail("no steps");
  if (!(maxGradNorm > 0)) fail(`maxGradNorm ${maxGradNorm} is not above 0`);
  for (const [index, step] of steps.entries()) {
    const what = `train-run: step ${index}`;
    if (step.microBatches.length === 0) fail(`step ${index} has no rows`);
    if (step.kind === "rows") {
      for (const microBatch of step.microBatches) checkStep({ ...microBatch, dropout }, model, what);
      continue;
    }
    // The slopes are of vectors without dropout; another mask in the second pass would give the gradient of another loss.
    if (dropout > 0) fail("dropout in the training of code search");
    if (model.task !== "code_search") fail(`step ${index}: a loss of vectors for a model for ${model.task}`);
    const places = step.microBatches.flatMap((microBatch) => microBatch.places);
    const count = step.microBatches.reduce((sum, { rows }) => sum + rows.length, 0);
    if (places.length !== count || new Set(places).size !== count || places.some((place) => place >= count)) {
      fail(`step ${index}: ${count} rows do not stand in ${places.length} places of one batch`);
    }
    if (step.loss.kind === "contrastive") {
      if (count % 2 !== 0) fail(`step ${index}: ${count} rows are not codes and their queries`);
      continue;
    }
    const { targets, weights } = step.loss;
    const size = featureSize(model.task, model.config);
    if (weights.length !== count || targets.length !== count || targets.some((row) => row.length !== size)) {
      fail(
        `step ${index}: ${targets.length} targets and ${weights.length} weights for ${count} vectors of ${size}`,
      );
    }
  }
}

interface OpenRun {
  readonly training: Training;
  /** Those of the weights that the model's programs take: the same arrays, so that they see each update. */
  readonly fed: TensorMap;
}

/** Reads a state; OperationFailed where it is not one of this model. */
async function openRun(
  { state, optimiser, maxGradNorm }: TrainRunOperation,
  context: OperationContext,
): Promise<OpenRun> {
  const stored = await context.ownTensors(state.weights);
  const fed = fedWeights(stored, context.model);
  if (Object.keys(fed).length === 0) throw new OperationFailed("train-run: no weights to train");
  const moments = new Map<string, Moments>();
  if (state.moments) {
    const means = await context.ownTensors(state.moments.means);
    const squares = await context.ownTensors(state.moments.squares);
    for (const [name, { shape }] of Object.entries(stored)) {
      const mean = momentOf(means, "means", name, shape);
      moments.set(name, { mean, square: momentOf(squares, "squares", name, shape) });
    }
  } else if (state.steps > 0) {
    throw new OperationFailed(`train-run: a state after ${state.steps} steps has no moments`);
  }
  const entries = Object.entries(stored).map(([name, { shape, data }]) => {
    if (data instanceof Float32Array) return [name, { shape, data }] as const;
    throw new OperationFailed(`train-run: weights: '${name}' is not float32`);
  });
  return {
    fed,
    training: {
      weights: new Map(entries.map(([name, { data }]) => [name, data])),
      shapes: new Map(entries.map(([name, { shape }]) => [name, shape])),
      optimiser: new AdamW(optimiser, { steps: state.steps, moments }),
      maxGradNorm,
    },
  };
}

function momentOf(tensors: TensorMap, which: string, name: string, shape: readonly number[]): Float32Array {
  const tensor = tensors[name];
  if (tensor?.data instanceof Float32Array && tensor.shape.join() === shape.join()) return tensor.data;
  const found = tensor ? `[${tensor.shape.join(", ")}]` : "missing";
  throw new OperationFailed(
    `train-run: ${which} of '${name}' are ${found}, expected float32 [${shape.join(", ")}]`,
  );
}

/** The model on this device, and how much went through it. */
class LocalNetwork implements Network {
  forwards = 0;
  tokens = 0;
  readonly #dropout: number;
  readonly #given: { readonly samples: SampleSet; readonly weights: TensorMap };
  readonly #context: OperationContext;

  constructor(
    { dropout }: TrainRunOperation,
    given: { readonly samples: SampleSet; readonly weights: TensorMap },
    context: OperationContext,
  ) {
    this.#dropout = dropout;
    this.#given = given;
    this.#context = context;
  }

  async *encode(batches: readonly (readonly number[])[]): AsyncGenerator<readonly Float32Array[]> {
    const { samples, weights } = this.#given;
    for (const batch of batches) {
      const rows = batch.map((row) => sampleRow(samples, row, this.#context.model.config));
      const encoded = await features(rows, this.#context, { weights });
      this.#count(encoded);
      await this.#context.partDone();
      yield encoded.vectors;
    }
  }

  async *gradients(microBatches: Parameters<Network["gradients"]>[0]): AsyncGenerator<TensorMap> {
    for (const microBatch of microBatches) {
      const given = { ...this.#given, dropout: this.#dropout };
      const done = await microBatchGradients(microBatch, given, this.#context);
      this.#count(done);
      await this.#context.partDone();
      yield done.tensors;
    }
  }

  #count({ forwards, tokens }: { readonly forwards: number; readonly tokens: number }): void {
    this.forwards += forwards;
    this.tokens += tokens;
  }
}

function checkUpdate(step: number, loss: number, gradNorm: number): void {
  if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return;
  throw new OperationFailed(`train-run: step ${step} has loss ${loss} and gradient norm ${gradNorm}`);
}

/** The three artifacts of a state, whose weights are finite: what the last update made of them no loss has told yet. Parameters that never had a gradient have moments of 0. */
async function writeState(
  { weights, shapes, optimiser }: Training,
  { write }: OperationContext,
): Promise<WrittenArtifact[]> {
  const all = (of: (name: string, length: number) => Float32Array): TensorMap =>
    Object.fromEntries(
      [...weights].map(([name, { length }]) => [name, { shape: shapes.get(name)!, data: of(name, length) }]),
    );
  const broken = [...weights].find(([, data]) => !data.every(Number.isFinite));
  if (broken) throw new OperationFailed(`train-run: '${broken[0]}' is not finite after the last step`);
  const moment = (which: keyof Moments) => (name: string, length: number) =>
    optimiser.moments.get(name)?.[which] ?? new Float32Array(length);
  return [
    await write(
      "weights",
      all((name) => weights.get(name)!),
    ),
    await write("means", all(moment("mean"))),
    await write("squares", all(moment("square"))),
  ];
}

const vector = (data: Float64Array): Tensor => ({ shape: [data.length], data });
