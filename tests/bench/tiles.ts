import { canonicalJson } from "../../proto/canonical-json.ts";
import type { Executor, GradientOperation, SampleSet, ScoreOperation } from "../../proto/operations.ts";
import { uniform } from "../support/uniform.ts";
import type { BenchModel } from "./models.ts";
import { randomIds, randomRow, rowEnds } from "./random-rows.ts";

const TRIGGER_LEN = 5;

/** A shape of one session run: rows of one length. */
export interface TileShape {
  readonly rows: number;
  /** Tokens of each row, with the trigger in it. */
  readonly tokens: number;
}

/** As reports and facts write it: "12×128". */
export const shapeName = ({ rows, tokens }: TileShape): string => `${rows}×${tokens}`;

/** A score operation whose stamped rows have the shape. */
export async function scoreTile(
  executor: Pick<Executor, "putArtifact">,
  model: BenchModel,
  shape: TileShape,
): Promise<ScoreOperation> {
  const draw = uniform(shape.rows);
  const triggers = Array.from({ length: shape.rows }, () => randomIds(TRIGGER_LEN, model.config, draw));
  const { checkpoint } = model;
  return { kind: "score", checkpoint, samples: await putRow(executor, model, shape), sample: 0, triggers };
}

/** A gradient operation over one row of `tokens`, `rows` times. */
export async function gradientTile(
  executor: Pick<Executor, "putArtifact">,
  model: BenchModel,
  shape: TileShape,
): Promise<GradientOperation> {
  return {
    kind: "gradient",
    checkpoint: model.checkpoint,
    samples: await putRow(executor, model, shape),
    rows: new Array<number>(shape.rows).fill(0),
    trigger: randomIds(TRIGGER_LEN, model.config, uniform(2)),
    objective: { kind: "label", label: 0 },
  };
}

async function putRow(
  executor: Pick<Executor, "putArtifact">,
  model: BenchModel,
  { tokens }: TileShape,
): Promise<string> {
  const row = randomRow(tokens - TRIGGER_LEN, model.config, uniform(tokens));
  const endId = rowEnds(model.config).restored;
  const samples: SampleSet = { rows: [row], insertIndexes: [1], maxLen: tokens, endId };
  return executor.putArtifact(Buffer.from(canonicalJson(samples)));
}
