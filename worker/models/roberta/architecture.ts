import { add } from "../../graph/index.ts";
import type { Architecture } from "../architecture.ts";
import { classifierHead } from "../head.ts";
import { keyBias, paddedRows, tokenShares } from "../padded.ts";
import { paddingInside } from "../row-problems.ts";
import { longestRobertaRow, parseRobertaConfig, type RobertaConfig } from "./config.ts";
import { embed, embeddingTables, rowVectors } from "./encoder.ts";
import { initialRoberta } from "./initial.ts";
import { encoderShapes, poolerShapes, unusedShapes } from "./shapes.ts";

/** RoBERTa: CodeBERT, GraphCodeBERT, UniXcoder. */
export const roberta: Architecture<RobertaConfig> = {
  name: "RoBERTa",
  parseConfig: parseRobertaConfig,
  layouts: [
    { kind: "plain", prefix: "roberta.", sign: "roberta." },
    { kind: "wrapped", prefix: "encoder.", sign: "encoder.embeddings." },
  ],
  encoderShapes,
  unusedShapes,
  tiedNames: () => [],
  extraShapes: poolerShapes,
  initial: initialRoberta,
  tasks: ["defect_detection", "clone_detection", "code_search"],
  clones: "joined",
  head: () => classifierHead,

  longestRow: longestRobertaRow,
  rowProblem: paddingInside,

  causal: false,
  twoReaders: false,
  wordTable: (layout) => embeddingTables(layout).word,
  vectors(model, words, options) {
    const { distinct } = options;
    const positions = distinct && add(distinct.columns, model.config.padId + 1);
    return rowVectors(model, embed(model, words, positions), options);
  },
  paddedVectors(model, { inputs, length, ...options }) {
    const { graph, layout, weights } = model;
    const ids = graph.input(`${inputs}ids`, "int32", ["B", length]);
    const positions = graph.input(`${inputs}positions`, "int32", ["B", length]);
    const bias = graph.input(`${inputs}key_bias`, "float32", ["B", 1, 1, length]);
    const words = weights.lookup(embeddingTables(layout).word, ids);
    const embedded = embed(model, words, positions);
    const shares =
      options.task === "code_search"
        ? { tokenShares: graph.input(`${inputs}token_shares`, "float32", ["B", 1, length]) }
        : {};
    const vectors = rowVectors(model, embedded, { ...options, keyBias: bias, ...shares });
    return { vectors, sites: { embedded } };
  },
  /** Positions as RoBERTa counts them: `padId` plus the number of the token in its row, and `padId` for padding. */
  paddedFeeds({ padId }, rows) {
    const ids = paddedRows(rows, padId);
    const positions = paddedRows(
      rows.map((row) => row.map((_, column) => padId + 1 + column)),
      padId,
    );
    const types = { shape: ids.shape, data: new Int32Array(ids.data.length) };
    return { ids, positions, types, key_bias: keyBias(rows), token_shares: tokenShares(rows) };
  },
  lookups({ padId }, layout) {
    const { word, position, type } = embeddingTables(layout);
    const site = "embedded";
    return [
      { table: word, site, indices: "ids", paddingIndex: padId },
      { table: position, site, indices: "positions", paddingIndex: padId },
      { table: type, site, indices: "types" },
    ];
  },
};
