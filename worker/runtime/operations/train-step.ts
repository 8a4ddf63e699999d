import type {
  MicroBatch,
  SampleSet,
  Tensor,
  TensorMap,
  TrainStepOperation,
} from "../../../proto/operations.ts";
import { architectureOf } from "../../models/architectures.ts";
import { MASK_PREFIX } from "../../models/dropout.ts";
import { dropoutMask } from "../../programs/dropout-mask.ts";
import type { StoredModel } from "../../programs/model.ts";
import { denseRows, tableGradient } from "../../programs/table-gradient.ts";
import {
  gradientName,
  type SnippetBatch,
  siteGradientName,
  snippetBatches,
  trainProgram,
} from "../../programs/train.ts";
import { checkRow, type NamedRow, sampleRow } from "../rows.ts";
import type { Session } from "../session.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";
import { fedKey, fedTo, fedWeights } from "./fed-weights.ts";
import { checkStep, targetsOf } from "./train-objective.ts";

/** Logits (in code search vectors) of a micro-batch at the given weights, and the gradient of its weighted loss by each of them. */
export async function trainStep(operation: TrainStepOperation, context: OperationContext): Promise<Done> {
  checkStep(operation, context.model);
  const samples = await context.samples(operation.samples);
  const weights = fedWeights(await context.weights(operation.weights), context.model);
  return microBatchGradients(operation, { samples, weights, dropout: operation.dropout }, context);
}

/** The same of a micro-batch that was checked, with weights that `fedWeights` gave. */
export async function microBatchGradients(
  microBatch: MicroBatch,
  given: { readonly samples: SampleSet; readonly weights: TensorMap; readonly dropout: number },
  context: OperationContext,
): Promise<Done> {
  const { model } = context;
  const { samples, weights } = given;
  const operation = { ...microBatch, dropout: given.dropout };
  const rows = operation.rows.map((row) => sampleRow(samples, row, model.config));
  const snippets = [rows, rows.map(({ second }) => second!)];
  const batches = snippetBatches(model).map((batch, at) => paddedBatch(batch, snippets[at]!, model));
  const session = await trainSession(operation, new Set(Object.keys(weights)), context);

  const lengths = Object.fromEntries(batches.map(({ length, width }) => [length, width]));
  const feeds = {
    ...weights,
    ...fedTo(session, Object.assign({}, ...batches.map(({ inputs }) => inputs))),
    targets: targetsOf(operation, model),
    row_weights: { shape: [rows.length], data: Float32Array.from(operation.rowWeights) },
    ...dropoutMasks(operation, session, { B: rows.length, ...lengths }),
  };
  const outputs = session.outputs;
  const results = await session.run(feeds, outputs);
  for (const name of outputs) checkFinite(name, results[name]!);

  const answer = operation.objective.kind === "vectors" ? "features" : "logits";
  const gradients: Record<string, Tensor> = { [answer]: results[answer]! };
  for (const name of Object.keys(weights)) {
    const dense = results[gradientName(name)];
    if (dense) gradients[name] = dense;
  }
  Object.assign(gradients, tableGradients(model, weights, batches, results));
  const read = batches.flatMap(({ rows: batchRows }) => batchRows);
  const tokens = read.reduce((sum, { ids }) => sum + ids.length, 0);
  return { tensors: gradients, forwards: read.length, tokens };
}

/** Snippets of the step's rows as one padded batch. */
interface PaddedBatch {
  readonly batch: SnippetBatch;
  readonly rows: readonly NamedRow[];
  readonly length: string;
  readonly width: number;
  /** Tensors by the architecture's names, and the same by the program's. */
  readonly feeds: TensorMap;
  readonly inputs: TensorMap;
}

function paddedBatch(batch: SnippetBatch, rows: readonly NamedRow[], { config }: StoredModel): PaddedBatch {
  for (const row of rows) checkRow(row, config);
  const ids = rows.map((row) => row.ids);
  const feeds = architectureOf(config).paddedFeeds(config, ids);
  const inputs = Object.entries(feeds).map(([name, tensor]) => [`${batch.inputs}${name}`, tensor]);
  return {
    batch,
    rows,
    length: batch.length,
    width: Math.max(...ids.map(({ length }) => length)),
    feeds,
    inputs: Object.fromEntries(inputs),
  };
}

function trainSession(
  { objective, dropout }: MicroBatch & { readonly dropout: number },
  trained: ReadonlySet<string>,
  context: OperationContext,
): Promise<Session> {
  const options = { trained, objective: objective.kind, dropout: dropout > 0 };
  const purpose = `train ${options.objective} ${options.dropout ? "dropout" : "plain"} ${fedKey(trained)}`;
  return context.session(purpose, (model) => trainProgram(model, options), { packWeights: false });
}

/** A mask for every dropout input of the program, drawn from the operation's seed and the input's name. */
function dropoutMasks(
  { dropout, dropoutSeed }: { readonly dropout: number; readonly dropoutSeed: number },
  session: Session,
  lengths: Readonly<Record<string, number>>,
): Record<string, Tensor> {
  const masks: Record<string, Tensor> = {};
  for (const { name, shape } of session.inputs) {
    if (!name.startsWith(MASK_PREFIX)) continue;
    const bound = shape.map((dim) => (typeof dim === "number" ? dim : lengths[dim]!));
    const count = bound.reduce((product, dim) => product * dim, 1);
    masks[name] = { shape: bound, data: dropoutMask(count, dropout, dropoutSeed, name) };
  }
  return masks;
}

/** Gradients of the trained tables: rows alone where most are zero, as `<name>#rows` and `<name>`. */
function tableGradients(
  { config, layout }: StoredModel,
  weights: TensorMap,
  batches: readonly PaddedBatch[],
  results: Readonly<Record<string, Tensor<Float32Array>>>,
): Record<string, Tensor> {
  const all = architectureOf(config).lookups(config, layout);
  const gradients: Record<string, Tensor> = {};
  for (const name of new Set(all.map(({ table }) => table))) {
    const table = weights[name];
    if (table === undefined) continue;
    const own = all.filter((lookup) => lookup.table === name);
    const sparse = tableGradient(
      batches.flatMap(({ batch, feeds }) =>
        own.map(({ site, indices, paddingIndex }) => ({
          indices: feeds[indices]!.data as Int32Array,
          slopes: results[siteGradientName(batch, site)]!.data,
          paddingIndex,
        })),
      ),
      table.shape[1]!,
    );
    const tableRows = table.shape[0]!;
    if (sparse.rows.data.length * 2 < tableRows) {
      gradients[`${name}#rows`] = sparse.rows;
      gradients[name] = sparse.values;
    } else gradients[name] = denseRows(sparse, tableRows);
  }
  return gradients;
}
