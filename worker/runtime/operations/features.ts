import { digestOf } from "../../../proto/canonical-json.ts";
import type { ProgramForm, TensorMap } from "../../../proto/operations.ts";
import { VectorCache } from "../../../proto/vector-cache.ts";
import { joinsSnippets } from "../../models/features.ts";
import { vectorProgram } from "../../programs/forward.ts";
import { checkRow, distinctFeeds, type InputRow, type NamedRow, runsOf } from "../rows.ts";
import type { Session } from "../session.ts";
import type { OperationContext } from "./context.ts";
import { fedKey, fedTo } from "./fed-weights.ts";

/** What a program gave for rows, [width] each, and how many rows and tokens went through it. */
export interface Encoded {
  readonly vectors: readonly Float32Array[];
  readonly forwards: number;
  readonly tokens: number;
}

/** How rows are computed: with other weights than the checkpoint's, in another form than the primitive one. */
export interface RowOptions {
  readonly weights?: TensorMap | undefined;
  readonly form?: ProgramForm | undefined;
}

/** One output of a program that reads `ids`, for each row; rows of one length go through it together. */
export async function throughProgram(
  rows: readonly NamedRow[],
  output: "logits" | "features",
  { session, weights = {} }: { readonly session: Session; readonly weights?: TensorMap },
  { model, tokensPerRun }: OperationContext,
): Promise<Encoded> {
  for (const row of rows) checkRow(row, model.config);
  const vectors: Float32Array[] = Array(rows.length);
  const lengths = rows.map(({ ids }) => ids.length);
  for (const run of runsOf(lengths, tokensPerRun)) {
    const tokens = distinctFeeds(
      run.map((index) => rows[index]!),
      model.config,
    );
    const feeds = fedTo(session, { ...weights, ...tokens });
    const { [output]: part } = await session.run(feeds, [output]);
    const width = part!.shape[1]!;
    for (const [at, index] of run.entries()) {
      vectors[index] = part!.data.slice(at * width, (at + 1) * width);
    }
  }
  return { vectors, forwards: rows.length, tokens: lengths.reduce((sum, length) => sum + length, 0) };
}

/** Features of each row: in code search and clone detection from programs that encode a snippet at a time. */
export async function snippetFeatures(
  rows: readonly InputRow[],
  context: OperationContext,
  options: RowOptions = {},
): Promise<Encoded> {
  const first = await encodeSnippets(rows, context, options);
  if (!joinsSnippets(context.model.task, context.model.config)) return first;
  const second = await secondVectors(rows, context, options);
  return {
    vectors: first.vectors.map((vector, row) => Float32Array.of(...vector, ...second.vectors[row]!)),
    forwards: first.forwards + second.forwards,
    tokens: first.tokens + second.tokens,
  };
}

/**
 * The vector of each row's second snippet. With the checkpoint's own weights each snippet is encoded once and kept: a search
 * changes the first snippet only, and so costs one encoding for each candidate.
 */
export async function secondVectors(
  rows: readonly InputRow[],
  context: OperationContext,
  options: RowOptions = {},
): Promise<Encoded> {
  const { weights, form = "primitive" } = options;
  const snippets = rows.map(({ second }) => second!);
  let [forwards, tokens] = [0, 0];
  // Other weights are those of one training step: what they give is not kept, and still each snippet is encoded once.
  const once = new VectorCache(Number.POSITIVE_INFINITY);
  const vectorsOf: OperationContext["snippetVectors"] =
    weights === undefined ? context.snippetVectors : (keys, compute) => once.get(keys, compute);
  const vectors = await vectorsOf(
    snippets.map(({ ids }) => `${form} ${digestOf(new Uint8Array(Int32Array.from(ids).buffer))}`),
    async (missing) => {
      const encoded = await encodeSnippets(
        missing.map((index) => snippets[index]!),
        context,
        options,
      );
      ({ forwards, tokens } = encoded);
      return encoded.vectors;
    },
  );
  return { vectors, forwards, tokens };
}

async function encodeSnippets(
  rows: readonly NamedRow[],
  context: OperationContext,
  { weights, form = "primitive" }: RowOptions,
): Promise<Encoded> {
  const fed = new Set(Object.keys(weights ?? {}));
  const purpose = `vectors ${form} ${fedKey(fed)}`;
  const session = await context.session(purpose, (model) => vectorProgram(model, { fed, form }));
  return throughProgram(rows, "features", { session, ...(weights && { weights }) }, context);
}
