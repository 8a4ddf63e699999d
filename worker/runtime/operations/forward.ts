import { OperationFailed } from "../../../proto/operation-failed.ts";
import type {
  EncodeOperation,
  PredictOperation,
  ScoreOperation,
  Tensor,
  TensorMap,
} from "../../../proto/operations.ts";
import { forwardProgram } from "../../programs/forward.ts";
import { checkRow, idTensor, type NamedRow, runsOf, sampleRow, stampedRow } from "../rows.ts";
import type { Session } from "../session.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";
import { fedKey, fedWeights } from "./fed-weights.ts";

/** Logits of every trigger in one sample. The stamped rows have one length: a tile. */
export async function score(operation: ScoreOperation, context: OperationContext): Promise<Done> {
  const { triggers, sample } = operation;
  if (triggers.length === 0) throw new OperationFailed("score: no triggers");
  const odd = triggers.find((trigger) => trigger.length !== triggers[0]!.length);
  if (odd)
    throw new OperationFailed(
      `score: triggers of ${triggers[0]!.length} and of ${odd.length} tokens in one tile`,
    );
  const samples = await context.samples(operation.samples);
  const rows = triggers.map((trigger) => stampedRow(samples, sample, trigger));
  return forward(rows, "logits", await context.session("forward", forwardProgram), context);
}

/** Features of each row. */
export async function encode(operation: EncodeOperation, context: OperationContext): Promise<Done> {
  const samples = await context.samples(operation.samples);
  const rows = operation.rows.map((row) => sampleRow(samples, row));
  return forward(rows, "features", await context.session("forward", forwardProgram), context);
}

/** Logits of each row, with some weights of the checkpoint replaced where the operation says so. */
export async function predict(operation: PredictOperation, context: OperationContext): Promise<Done> {
  const samples = await context.samples(operation.samples);
  const rows = operation.rows.map((row) => sampleRow(samples, row));
  if (operation.weights === undefined) {
    return forward(rows, "logits", await context.session("forward", forwardProgram), context);
  }
  const weights = fedWeights(await context.weights(operation.weights), context.model);
  const names = new Set(Object.keys(weights));
  const session = await context.session(`forward ${fedKey(names)}`, (model) => forwardProgram(model, names));
  return forward(rows, "logits", session, context, weights);
}

async function forward(
  rows: readonly NamedRow[],
  output: "logits" | "features",
  session: Session,
  { model, tokensPerRun }: OperationContext,
  weights: TensorMap = {},
): Promise<Done> {
  for (const row of rows) checkRow(row, model.config);
  const width = output === "logits" ? model.layout.classes : model.config.hiddenSize;
  const result: Tensor<Float32Array> = {
    shape: [rows.length, width],
    data: new Float32Array(rows.length * width),
  };
  const lengths = rows.map(({ ids }) => ids.length);
  for (const run of runsOf(lengths, tokensPerRun)) {
    const ids = idTensor(run.map((index) => rows[index]!));
    const { [output]: part } = await session.run({ ...weights, ids }, [output]);
    for (const [at, index] of run.entries()) {
      result.data.set(part!.data.subarray(at * width, (at + 1) * width), index * width);
    }
  }
  checkFinite(output, result);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return { tensors: { [output]: result }, forwards: rows.length, tokens };
}
