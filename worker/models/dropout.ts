import type { Shape, Value } from "../graph/index.ts";

/** Dropout at a named place of the network; returns its argument in evaluation mode. */
export type Dropout = (x: Value, site: string) => Value;

export const noDropout: Dropout = (x) => x;

/** A place where a training program drops: its mask is an input of this name and shape, holding 0 or 1 ÷ (1 − p). */
export interface DropoutSite {
  readonly name: string;
  readonly shape: Shape;
}
