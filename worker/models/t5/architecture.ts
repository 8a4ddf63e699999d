import { gather } from "../../graph/index.ts";
import type { Architecture } from "../architecture.ts";
import { noDropout } from "../dropout.ts";
import { classifierHead } from "../head.ts";
import { keyBias, paddedRows, rowEnds } from "../padded.ts";
import { paddingInside } from "../row-problems.ts";
import { parseT5Config, type T5Config } from "./config.ts";
import { initialT5 } from "./initial.ts";
import { encoderShapes, tiedNames, unusedShapes, wordTable } from "./shapes.ts";
import { endStates, shiftedRight } from "./stacks.ts";

/**
 * T5 with encoder and decoder: CodeT5. The decoder reads the same ids as the encoder, shifted right, and its state at the row's last id,
 * which is the end id, stands for the row.
 */
export const t5: Architecture<T5Config> = {
  name: "T5",
  parseConfig: parseT5Config,
  layouts: [{ kind: "wrapped", prefix: "encoder.", sign: "encoder.shared." }],
  encoderShapes,
  unusedShapes,
  tiedNames,
  extraShapes: unusedShapes,
  initial: initialT5,
  tasks: ["defect_detection", "clone_detection", "code_search"],
  clones: "joined",
  head: () => classifierHead,

  longestRow: () => undefined,
  rowProblem(config, ids) {
    const inside = paddingInside(config, ids);
    if (inside !== undefined || ids.at(-1) === config.endId) return inside;
    return `column ${ids.length - 1}: id ${ids.at(-1)} is not the end id ${config.endId}, whose state stands for the row`;
  },

  wordTable,
  causal: false,
  twoReaders: true,
  vectors(model, tokens, { distinct, dropout = noDropout, decoderWords }) {
    const words = distinct ? gather(tokens, distinct.places) : tokens;
    return endStates(model, { words, decoderWords: shiftedRight(model, decoderWords ?? words) }, { dropout });
  },
  paddedVectors(model, { inputs, length, dropout = noDropout }) {
    const { graph, layout, weights } = model;
    const table = wordTable(layout);
    const words = weights.lookup(table, graph.input(`${inputs}ids`, "int32", ["B", length]));
    const decoderWords = weights.lookup(table, graph.input(`${inputs}decoder_ids`, "int32", ["B", length]));
    const padding = {
      keyBias: graph.input(`${inputs}key_bias`, "float32", ["B", 1, 1, length]),
      ends: graph.input(`${inputs}ends`, "float32", ["B", 1, length]),
    };
    const vectors = endStates(model, { words, decoderWords }, { dropout, padding });
    return { vectors, sites: { words, decoderWords } };
  },
  paddedFeeds({ padId, startId }, rows) {
    return {
      ids: paddedRows(rows, padId),
      decoder_ids: paddedRows(
        rows.map((row) => [startId, ...row.slice(0, -1)]),
        padId,
      ),
      key_bias: keyBias(rows),
      ends: rowEnds(rows),
    };
  },
  lookups(_config, layout) {
    const table = wordTable(layout);
    return [
      { table, site: "words", indices: "ids" },
      { table, site: "decoderWords", indices: "decoder_ids" },
    ];
  },
};
