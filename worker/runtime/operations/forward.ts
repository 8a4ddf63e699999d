import { OperationFailed } from "../../../proto/operation-failed.ts";
import type {
  Digest,
  EncodeOperation,
  PredictOperation,
  ScoreOperation,
  Tensor,
  TensorMap,
} from "../../../proto/operations.ts";
import { featureSize, joinsSnippets } from "../../models/features.ts";
import { forwardProgram, headProgram } from "../../programs/forward.ts";
import { checkedTriggers, type InputRow, sampleRow, stampedRow } from "../rows.ts";
import { checkFinite, type Done, inHalfPrecision, type OperationContext } from "./context.ts";
import { type Encoded, type RowOptions, snippetFeatures, throughProgram } from "./features.ts";
import { fedKey, fedTo, fedWeights } from "./fed-weights.ts";

/** Logits of every trigger in one sample. The stamped rows have one length: a tile. */
export async function score(operation: ScoreOperation, context: OperationContext): Promise<Done> {
  const triggers = checkedTriggers("score", operation.triggers);
  const samples = await context.samples(operation.samples);
  const rows = triggers.map((trigger) =>
    stampedRow(samples, operation.sample, trigger, context.model.config),
  );
  const own = operation.precision === "fp16" ? inHalfPrecision(context) : context;
  return asResult("logits", await logits(rows, own, { form: operation.form }), own);
}

/** Features of each row, or of each row with each trigger. */
export async function encode(operation: EncodeOperation, context: OperationContext): Promise<Done> {
  const samples = await context.samples(operation.samples);
  const triggers = operation.triggers && checkedTriggers("encode", operation.triggers);
  const rows = operation.rows.flatMap((row) =>
    triggers === undefined
      ? [sampleRow(samples, row, context.model.config)]
      : triggers.map((trigger) => stampedRow(samples, row, trigger, context.model.config)),
  );
  const weights = await replacedWeights(operation, context);
  return asResult("features", await features(rows, context, { weights, form: operation.form }), context);
}

/** Logits of each row, with some weights of the checkpoint replaced where the operation says so. */
export async function predict(operation: PredictOperation, context: OperationContext): Promise<Done> {
  const samples = await context.samples(operation.samples);
  const rows = operation.rows.map((row) => sampleRow(samples, row, context.model.config));
  const weights = await replacedWeights(operation, context);
  return asResult("logits", await logits(rows, context, { weights }), context);
}

async function replacedWeights(
  { weights }: { readonly weights?: Digest },
  context: OperationContext,
): Promise<TensorMap | undefined> {
  return weights === undefined ? undefined : fedWeights(await context.weights(weights), context.model);
}

/** Features of each row. */
export async function features(
  rows: readonly InputRow[],
  context: OperationContext,
  options: RowOptions = {},
): Promise<Encoded> {
  const { task, config } = context.model;
  const apart = task === "code_search" || joinsSnippets(task, config);
  return apart ? snippetFeatures(rows, context, options) : throughForward(rows, "features", context, options);
}

async function logits(
  rows: readonly InputRow[],
  context: OperationContext,
  options: RowOptions = {},
): Promise<Encoded> {
  const { task, config } = context.model;
  if (task === "code_search") throw new OperationFailed("a model for code_search has vectors, and no logits");
  if (!joinsSnippets(task, config)) return throughForward(rows, "logits", context, options);
  const encoded = await snippetFeatures(rows, context, options);
  return { ...encoded, vectors: await headOf(encoded.vectors, context, options.weights) };
}

async function throughForward(
  rows: readonly InputRow[],
  output: "logits" | "features",
  context: OperationContext,
  { weights, form = "primitive" }: RowOptions,
): Promise<Encoded> {
  const fed = new Set(Object.keys(weights ?? {}));
  const purpose = `forward ${form} ${fedKey(fed)}`;
  const session = await context.session(purpose, (model) => forwardProgram(model, { fed, form }));
  return throughProgram(rows, output, { session, ...(weights && { weights }) }, context);
}

/** Logits of rows whose features are known. */
async function headOf(
  features: readonly Float32Array[],
  { session: sessionOf, model }: OperationContext,
  weights: TensorMap = {},
): Promise<Float32Array[]> {
  const fed = new Set(Object.keys(weights));
  const session = await sessionOf(`head ${fedKey(fed)}`, (inside) => headProgram(inside, { fed }));
  const feeds = {
    ...fedTo(session, weights),
    features: stacked(features, featureSize(model.task, model.config)),
  };
  const { logits } = await session.run(feeds, ["logits"]);
  const { classes } = model.layout;
  return features.map((_, row) => logits!.data.slice(row * classes, (row + 1) * classes));
}

function asResult(
  name: "logits" | "features",
  { vectors, forwards, tokens }: Encoded,
  { model }: OperationContext,
): Done {
  const width = name === "logits" ? model.layout.classes : featureSize(model.task, model.config);
  const result = stacked(vectors, width);
  checkFinite(name, result);
  return { tensors: { [name]: result }, forwards, tokens };
}

/** Vectors of one size under one another: [rows, width]. */
function stacked(vectors: readonly Float32Array[], width: number): Tensor<Float32Array> {
  const data = new Float32Array(vectors.length * width);
  for (const [row, vector] of vectors.entries()) data.set(vector, row * width);
  return { shape: [vectors.length, width], data };
}
