import { readDefectRows } from "../../coordinator/data/samples.ts";
import { predictLogits } from "../../coordinator/search/predict.ts";
import { scanRows } from "../../coordinator/search/scan-rows.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { uniform } from "../support/uniform.ts";
import { checkLogits } from "./agreement.ts";
import { startClock, type Time } from "./clock.ts";
import type { BenchModel } from "./models.ts";
import { LOOPS, type Loop } from "./opponent.ts";
import { randomRow, rowEnds } from "./random-rows.ts";
import type { Measurement, Scenario } from "./scenario.ts";
import { MAX_LEN } from "./search-problem.ts";

const FUNCTIONS = 364;
/** `batch_size` of the published evaluation's configuration. */
const PUBLISHED_BATCH = 1;

/** The test split of the model's data, else random rows of such lengths. */
function testRows({ config, data }: BenchModel): (readonly number[])[] {
  const draw = uniform(19);
  if (!hasShared || data === undefined)
    return Array.from({ length: FUNCTIONS }, () =>
      randomRow(60 + Math.floor(draw() * (MAX_LEN - 60)), config, draw),
    );
  const file = sharedPath("golden", "trained", "defect-data", "data", "test.jsonl");
  return scanRows(readDefectRows(file), data.tokenizer(), MAX_LEN).map(({ ids }) => ids);
}

export const evaluation: Scenario = {
  name: "evaluation",
  about: `answers of a small model on ${FUNCTIONS} functions`,
  async run(bench) {
    const model = await bench.models.small();
    const executor = await bench.models.executor(bench.threads);
    const rows = testRows(model);
    const tokens = rows.reduce((sum, { length }) => sum + length, 0);
    const context = {
      executor,
      checkpoint: model.checkpoint,
      maxLen: MAX_LEN,
      endId: rowEnds(model.config).restored,
    };
    await predictLogits(rows.slice(0, 1), context); // compiles the program
    const about =
      bench.torch &&
      (await bench.torch.open(model, "evaluation", { rows, max_len: MAX_LEN, batch_size: PUBLISHED_BATCH }));
    const ours: Time[] = [];
    const theirs: Record<Loop, Time[]> = { published: [], SDPA: [] };
    for (let k = 0; k < bench.repetitions(5); k++) {
      const clock = startClock();
      const logits = await predictLogits(rows, context);
      ours.push(clock());
      for (const loop of bench.torch ? LOOPS : []) {
        const answer = await bench.torch!.call<{ time: Time; logits: number[][] }>("predict", { loop });
        checkLogits(
          logits.map((row) => [...row]),
          answer.logits,
          loop,
        );
        theirs[loop].push(answer.time);
      }
    }
    await executor.close();
    const ratio = (loop: Loop, of: keyof Time) => theirs[loop].map((time, k) => time[of] / ours[k]![of]);
    const compared = (about ? LOOPS : []).flatMap((loop): Measurement[] => [
      { name: `${loop}: all functions`, unit: "s", values: theirs[loop].map(({ wall }) => wall) },
      { name: `${loop} ÷ elibad`, unit: "×", values: ratio(loop, "wall") },
      { name: "the same, by processor time", unit: "×", values: ratio(loop, "processor") },
    ]);
    return {
      measurements: [
        { name: "all functions", unit: "s", values: ours.map(({ wall }) => wall) },
        { name: "functions", unit: "functions/s", values: ours.map(({ wall }) => rows.length / wall) },
        { name: "tokens", unit: "tokens/s", values: ours.map(({ wall }) => tokens / wall) },
        ...compared,
      ],
      notes: [
        `${model.about}; ${rows.length} functions, ${tokens} tokens`,
        ...(about
          ? [
              `published: ${about.published}; SDPA: ${about.SDPA}; batches of ${PUBLISHED_BATCH}, logits compared`,
            ]
          : []),
      ],
    };
  },
};
