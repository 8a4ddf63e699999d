import type { Architecture, Snippets } from "../architecture.ts";
import type { HeadLayout } from "../head.ts";
import type { LayoutKind } from "../layout.ts";
import { keyBias, paddedRows, rowEnds } from "../padded.ts";
import { type GptBigCodeConfig, longestGptBigCodeRow, parseGptBigCodeConfig } from "./config.ts";
import { embed, embeddingTables, rowVectors } from "./decoder.ts";
import { initialGptBigCode } from "./initial.ts";
import { encoderShapes, unusedShapes } from "./shapes.ts";

/** GPT-BigCode: StarCoder, SantaCoder. */
export const gptBigCode: Architecture<GptBigCodeConfig> = {
  name: "GPT-BigCode",
  parseConfig: parseGptBigCodeConfig,
  layouts: [
    { kind: "plain", prefix: "", sign: "transformer." },
    { kind: "wrapped", prefix: "encoder.", sign: "encoder.transformer." },
  ],
  encoderShapes,
  unusedShapes,
  tiedNames: () => [],
  extraShapes: () => [],
  initial: initialGptBigCode,
  tasks: ["defect_detection", "clone_detection"],
  clones: "one row",
  head: scoreHead,

  longestRow: longestGptBigCodeRow,
  readRow,
  rowProblem({ padId }, ids) {
    if (ids[0] !== padId) return undefined;
    return `column 0: id ${padId} is padding, and the model answers at the token before the first padding`;
  },

  causal: true,
  twoReaders: false,
  wordTable: (layout) => embeddingTables(layout).word,
  vectors: (model, words, options) =>
    rowVectors(model, embed(model, words, options.distinct?.columns), options),
  paddedVectors(model, { inputs, length, ...options }) {
    const { graph, layout, weights } = model;
    const ids = graph.input(`${inputs}ids`, "int32", ["B", length]);
    const positions = graph.input(`${inputs}positions`, "int32", ["B", length]);
    const padding = {
      ends: graph.input(`${inputs}ends`, "float32", ["B", 1, length]),
      keyBias: graph.input(`${inputs}key_bias`, "float32", ["B", 1, 1, length]),
    };
    const embedded = embed(model, weights.lookup(embeddingTables(layout).word, ids), positions);
    return { vectors: rowVectors(model, embedded, { ...options, padding }), sites: { embedded } };
  },
  /** Positions as Hugging Face counts them: 0, 1, 2, … for tokens, and 1 for padding. */
  paddedFeeds({ padId }, rows) {
    return {
      ids: paddedRows(rows, padId),
      positions: paddedRows(
        rows.map((row) => row.map((_, column) => column)),
        1,
      ),
      ends: rowEnds(rows),
      key_bias: keyBias(rows),
    };
  },
  lookups(_config, layout) {
    const { word, position } = embeddingTables(layout);
    const site = "embedded";
    return [
      { table: word, site, indices: "ids" },
      { table: position, site, indices: "positions" },
    ];
  },
};

function scoreHead(kind: LayoutKind): HeadLayout {
  return { kind: "linear", weight: kind === "wrapped" ? "encoder.score.weight" : "score.weight" };
}

/**
 * The tokens that the answer depends on. The class pools the token before the first padding (`argmax(ids == pad) − 1`), and no token sees
 * a later one. Clones are one sequence, [first padded to `maxLen`][second padded to `maxLen`], so that the second snippet counts only
 * where the first fills its half. End tokens of a full stamped row are padding here (StarCoder: 0), and cut like it.
 */
function readRow({ padId }: GptBigCodeConfig, { first, second, maxLen }: Snippets): readonly number[] {
  const whole = second !== undefined && first.length === maxLen ? [...first, ...second] : first;
  const end = whole.indexOf(padId, 1);
  return end < 0 ? whole : whole.slice(0, end);
}
