import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { Tensor, TensorMap, TrainStepOperation } from "../../../proto/operations.ts";
import { architectureOf } from "../../models/architectures.ts";
import { MASK_PREFIX } from "../../models/dropout.ts";
import { dropoutMask } from "../../programs/dropout-mask.ts";
import { labelTargets } from "../../programs/loss.ts";
import type { StoredModel } from "../../programs/model.ts";
import { denseRows, tableGradient } from "../../programs/table-gradient.ts";
import { gradientName, siteGradientName, trainProgram } from "../../programs/train.ts";
import { checkRow, sampleRow } from "../rows.ts";
import type { Session } from "../session.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";
import { fedKey, fedWeights } from "./fed-weights.ts";
import { labelCount } from "./gradient.ts";

/** Logits of a micro-batch at the given weights, and the gradient of its weighted loss by each of them. */
export async function trainStep(operation: TrainStepOperation, context: OperationContext): Promise<Done> {
  const { model } = context;
  const objective = checkStep(operation, model.layout.classes);
  const samples = await context.samples(operation.samples);
  const rows = operation.rows.map((row) => sampleRow(samples, row));
  for (const row of rows) checkRow(row, model.config);
  const weights = fedWeights(await context.weights(operation.weights), model);
  const session = await trainSession({ ...operation, objective }, new Set(Object.keys(weights)), context);

  const batch = architectureOf(model.config).paddedFeeds(
    model.config,
    rows.map(({ ids }) => ids),
  );
  const feeds = {
    ...weights,
    ...fedTo(session, batch),
    targets: targetsOf(objective, model.layout.classes),
    row_weights: { shape: [rows.length], data: Float32Array.from(operation.rowWeights) },
    ...dropoutMasks(operation, session, { B: rows.length, T: batch.ids!.shape[1]! }),
  };
  const outputs = session.outputs;
  const results = await session.run(feeds, outputs);
  for (const name of outputs) checkFinite(name, results[name]!);

  const gradients: Record<string, Tensor> = { logits: results.logits! };
  for (const name of Object.keys(weights)) {
    const dense = results[gradientName(name)];
    if (dense) gradients[name] = dense;
  }
  Object.assign(gradients, tableGradients(model, weights, batch, results));
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
  return { tensors: gradients, forwards: rows.length, tokens };
}

/** Objective of a classifier. */
type LogitObjective = Exclude<TrainStepOperation["objective"], { readonly kind: "vectors" }>;

function checkStep(
  { rows, rowWeights, objective, dropout }: TrainStepOperation,
  classes: number,
): LogitObjective {
  const fail = (reason: string): never => {
    throw new OperationFailed(`train-step: ${reason}`);
  };
  if (objective.kind === "vectors") throw new OperationFailed("train-step: a classifier has no vectors");
  if (rows.length === 0) fail("no rows");
  if (!(dropout >= 0 && dropout < 1)) fail(`dropout ${dropout} is not in [0, 1)`);
  const given = objective.kind === "labels" ? objective.labels.length : objective.logits.length;
  if (rowWeights.length !== rows.length || given !== rows.length) {
    fail(`${rows.length} rows, ${rowWeights.length} row weights and ${given} ${objective.kind}`);
  }
  if (objective.kind === "labels") {
    const odd = objective.labels.find((label) => label >= labelCount(classes));
    if (odd !== undefined) fail(`label ${odd} is not below ${labelCount(classes)} labels`);
  } else {
    const odd = objective.logits.find((logits) => logits.length !== classes);
    if (odd !== undefined) fail(`${odd.length} target logits for a head with ${classes}`);
  }
  return objective;
}

function trainSession(
  { objective, dropout }: { readonly objective: LogitObjective; readonly dropout: number },
  trained: ReadonlySet<string>,
  context: OperationContext,
): Promise<Session> {
  const options = { trained, objective: objective.kind, dropout: dropout > 0 };
  const purpose = `train ${options.objective} ${options.dropout ? "dropout" : "plain"} ${fedKey(trained)}`;
  return context.session(purpose, (model) => trainProgram(model, options), { packWeights: false });
}

function targetsOf(objective: LogitObjective, classes: number): Tensor<Float32Array> {
  const targets =
    objective.kind === "logits"
      ? objective.logits
      : objective.labels.map((label) => labelTargets(label, classes));
  return { shape: [targets.length, classes], data: Float32Array.from(targets.flat()) };
}

/** A mask for every dropout input of the program, drawn from the operation's seed and the input's name. */
function dropoutMasks(
  { dropout, dropoutSeed }: TrainStepOperation,
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
  batch: TensorMap,
  results: Readonly<Record<string, Tensor<Float32Array>>>,
): Record<string, Tensor> {
  const all = architectureOf(config).lookups(config, layout);
  const gradients: Record<string, Tensor> = {};
  for (const name of new Set(all.map(({ table }) => table))) {
    const table = weights[name];
    if (table === undefined) continue;
    const own = all.filter((lookup) => lookup.table === name);
    const sparse = tableGradient(
      own.map(({ site, indices, paddingIndex }) => ({
        indices: batch[indices]!.data as Int32Array,
        slopes: results[siteGradientName(site)]!.data,
        paddingIndex,
      })),
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

/** The tensors that a program is fed, out of those that a batch has. */
const fedTo = ({ inputs }: Session, batch: TensorMap): TensorMap =>
  Object.fromEntries(inputs.flatMap(({ name }) => (batch[name] ? [[name, batch[name]]] : [])));
