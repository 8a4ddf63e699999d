import type { ProgramForm, Task, Tensor } from "../../proto/operations.ts";
import type { Graph, Value } from "../graph/index.ts";
import type { ModelConfig } from "./config.ts";
import type { Dropout } from "./dropout.ts";
import type { HeadLayout } from "./head.ts";
import type { LayoutKind, ModelLayout } from "./layout.ts";
import type { Weights } from "./weights.ts";

/**
 * What elibad must know of a kind of network, from `config.json` to gradients. Programs and operations know only this; what
 * depends on the task stands beside it (`head.ts`, `programs/`). A new architecture is one folder with such an object, a member of the
 * union `ModelConfig` and an entry in `architectures.ts`.
 *
 * Methods, and not function-valued members, so that an architecture of one configuration is one of the union.
 */
export interface Architecture<C extends ModelConfig = ModelConfig> {
  /** As people write it. */
  readonly name: string;

  // From files

  /** Reads a `config.json` whose `model_type` is this architecture's; throws ModelError. */
  parseConfig(json: Record<string, unknown>, file: string): C;
  /** How checkpoints name their tensors, tried in this order. */
  readonly layouts: readonly LayoutNames[];
  /** Shapes of the network's tensors without the head, by name, in a fixed order; a tied tensor once, under the first of its names. */
  encoderShapes(config: C, prefix: string): Iterable<readonly [string, readonly number[]]>;
  /** Further names that a tensor of `encoderShapes` may have in a checkpoint, and its name there. */
  tiedNames(config: C, prefix: string): Iterable<readonly [string, string]>;
  /** Shapes of tensors that may be there and take no part. */
  unusedShapes(config: C, prefix: string): Iterable<readonly [string, readonly number[]]>;
  /** The unused tensors that the published class holds all the same: what a checkpoint trained from scratch has besides. */
  extraShapes(config: C, prefix: string): Iterable<readonly [string, readonly number[]]>;
  /** How a tensor begins that is trained from scratch, the head's included. */
  initial(config: C, name: string, shape: readonly number[]): Initial;
  /** Tasks that the published code has classes for. */
  readonly tasks: readonly Task[];
  /** Clone detection: each snippet has a vector of its own and the head reads both, or both are read as one row. */
  readonly clones: "joined" | "one row";
  /** Names of the head's tensors. */
  head(kind: LayoutKind): HeadLayout;

  // Rows

  /** Most tokens of a row, both end tokens included; undefined: no limit. */
  longestRow(config: C): LengthLimit | undefined;
  /** Where clones are one row: what the model reads of a row, up to the token that it answers at, without padding. */
  readRow?(config: C, snippets: Snippets): readonly number[];
  /** Why the model cannot read a row of ids that are all in its vocabulary: padding inside, no end; undefined where it can. */
  rowProblem(config: C, ids: readonly number[]): string | undefined;

  // Graphs

  /** No token sees a later one, so rows that begin alike are the same as far as they do. */
  readonly causal: boolean;
  /** Whether a second network (a decoder) reads the row too, so that `decoderWords` has a meaning. */
  readonly twoReaders: boolean;
  /** Name of the table of word vectors. */
  wordTable(layout: Pick<ModelLayout, "prefix">): string;
  /**
   * The vector that stands for each row, [B, hidden], from the word vectors of rows of one length, [B, T, hidden], or of their distinct tokens: what a head reads, or,
   * in code search, what is then normalised. Computed no further than that vector needs.
   */
  vectors(model: ModelInGraph<C>, words: Value, options: VectorOptions): Value;
  /** The same for a batch of rows padded on the right; it declares the inputs that `paddedFeeds` fills, each name behind `inputs`. */
  paddedVectors(model: ModelInGraph<C>, options: PaddedOptions): PaddedVectors;
  /** Tensors of a padded batch by name: ids, positions, masks. */
  paddedFeeds(config: C, rows: readonly (readonly number[])[]): Readonly<Record<string, Tensor>>;
  /** Tables that are looked up in, and where the look-ups' gradients come from. */
  lookups(config: C, layout: Pick<ModelLayout, "prefix">): readonly Lookup[];
}

export interface LayoutNames {
  readonly kind: LayoutKind;
  /** Before the network's own names. */
  readonly prefix: string;
  /** A checkpoint with a name that begins so has this layout. */
  readonly sign: string;
}

/** Values before training: one number, or normal draws around 0. */
export type Initial =
  | { readonly kind: "constant"; readonly value: number }
  | {
      readonly kind: "normal";
      readonly deviation: number;
      /** Row that is 0 all the same: that of padding. */
      readonly zeroRow?: number;
    };

/** Ids of a row's snippets, stamped or not, without the padding that follows them. */
export interface Snippets {
  readonly first: readonly number[];
  /** Clone detection only. */
  readonly second?: readonly number[];
  /** Columns that each snippet is padded to. */
  readonly maxLen: number;
}

export interface LengthLimit {
  readonly tokens: number;
  /** Key and value of the configuration that it follows from. */
  readonly because: string;
}

/** A model inside a graph. */
export interface ModelInGraph<C extends ModelConfig = ModelConfig> {
  readonly graph: Graph;
  readonly config: C;
  readonly layout: Pick<ModelLayout, "prefix" | "head">;
  readonly weights: Weights;
  /** "fused" is for forward passes of rows without padding alone: some of its operators have no gradient. */
  readonly form: ProgramForm;
}

export interface VectorOptions {
  readonly task: Task;
  readonly dropout?: Dropout;
  /** Word vectors [B, T, hidden] that the decoder reads (before it shifts them right) in place of the row's own. */
  readonly decoderWords?: Value;
  /** Where it is there, word vectors are not of rows but of tokens that differ, [D, hidden]. */
  readonly distinct?: DistinctTokens;
}

/**
 * The tokens of rows of one length, each once that has the same id in the same column: the rows of a tile differ in the trigger alone. What
 * comes before the first attention is computed once for each. Where no token sees a later one, tokens are the same if all up to them are, and
 * everything but attention is computed once for each.
 */
export interface DistinctTokens {
  /** Column of each token, [D]. */
  readonly columns: Value;
  /** Which token stands where, [B, T]. */
  readonly places: Value;
  /** A place where each token stands, in [B·T]: [D]. */
  readonly origins: Value;
}

export interface PaddedOptions extends VectorOptions {
  /** Before the names of the inputs: "" or "second_". */
  readonly inputs: string;
  /** Symbol of the padded length. */
  readonly length: string;
}

export interface PaddedVectors {
  /** [B, hidden] */
  readonly vectors: Value;
  /** What was looked up, by the sites that `lookups` names, each [B, T, columns]. */
  readonly sites: Readonly<Record<string, Value>>;
}

/**
 * A table whose rows a padded batch looks up. Its gradient has as many rows as the table, nearly all zero, so programs give the gradient by
 * what was looked up, once for all tables that meet there.
 */
export interface Lookup {
  readonly table: string;
  readonly site: string;
  /** Name of the tensor in `paddedFeeds` that holds the row of each look-up. */
  readonly indices: string;
  /** Row that has no gradient, as PyTorch's `padding_idx`. */
  readonly paddingIndex?: number;
}
