import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { RankOperation, Tensor } from "../../../proto/operations.ts";
import { lowest } from "../../programs/lowest.ts";
import { rankProgram } from "../../programs/rank.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";

/** The vocabulary ids that lower the loss most, by the first-order estimate gradient · embedding. */
export async function rank(operation: RankOperation, context: OperationContext): Promise<Done> {
  const { gradient, topk } = operation;
  const { hiddenSize, vocabSize } = context.model.config;
  const { ids } = await context.vocabulary(operation.vocabulary);
  const beyond = ids.at(-1)!;
  if (beyond >= vocabSize)
    throw new OperationFailed(`rank: vocabulary id ${beyond} is not below ${vocabSize}`);
  if (topk < 1 || topk > ids.length) {
    throw new OperationFailed(`rank: topk ${topk} of a vocabulary of ${ids.length} ids`);
  }
  const odd = gradient.findIndex((row) => row.length !== hiddenSize);
  if (gradient.length === 0 || odd >= 0) {
    throw new OperationFailed(`rank: gradient row ${Math.max(odd, 0)} has not ${hiddenSize} numbers`);
  }
  const session = await context.session("rank", rankProgram);
  const { products } = await session.run({ gradient: transposed(gradient) }, ["products"]);
  checkFinite("products", products!);

  const positions = gradient.length;
  const chosen = new Int32Array(positions * topk);
  const values = new Float32Array(positions * topk);
  for (let position = 0; position < positions; position++) {
    const product = (id: number) => products!.data[id * positions + position]!;
    const best = lowest(ids, product, topk);
    chosen.set(best, position * topk);
    values.set(best.map(product), position * topk);
  }
  const shape = [positions, topk];
  return {
    tensors: { ids: { shape, data: chosen }, values: { shape, data: values } },
    forwards: 0,
    tokens: 0,
  };
}

/** [positions, hidden] as [hidden, positions]. */
function transposed(rows: readonly Float32Array[]): Tensor<Float32Array> {
  const hidden = rows[0]!.length;
  const data = new Float32Array(hidden * rows.length);
  for (const [row, values] of rows.entries()) {
    for (let at = 0; at < hidden; at++) data[at * rows.length + row] = values[at]!;
  }
  return { shape: [hidden, rows.length], data };
}
