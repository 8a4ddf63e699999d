import type { Value } from "../../graph/index.ts";
import type { ModelInGraph } from "../architecture.ts";
import type { T5Config } from "./config.ts";

export type T5 = ModelInGraph<T5Config>;

/** Symbols of how many rows there are, and how long they are. */
export interface Rows {
  readonly batch: string;
  readonly length: string;
}

export const rowsOf = ({ shape }: Value): Rows => ({ batch: shape[0] as string, length: shape[1] as string });

/** What a batch of padded rows needs beside its ids. */
export interface Padding {
  /** Added to attention scores, [B, 1, 1, T]: 0 for tokens, the lowest float for padding. */
  readonly keyBias: Value;
  /** 1 at each row's last token, 0 elsewhere: [B, 1, T]. */
  readonly ends: Value;
}
