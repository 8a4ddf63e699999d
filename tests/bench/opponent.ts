import type { PreparedSearch } from "../../coordinator/search/problem.ts";
import type { StepRecord } from "../../coordinator/search/search.ts";
import type { Executor } from "../../proto/operations.ts";
import { type Agreement, agreement, checkLogits } from "./agreement.ts";
import type { BenchModel } from "./models.ts";
import type { StepTime } from "./step-runner.ts";
import type { TorchProcess } from "./torch-process.ts";

/** The published loop: one candidate at a time over padded batches; the same with PyTorch's fused attention; or all candidates of a row at once, without padding. */
export const FORMS = ["published", "SDPA", "batched"] as const;
export type Form = (typeof FORMS)[number];
/** Of these, the loops over padded batches. */
export const LOOPS = ["published", "SDPA"] as const;
export type Loop = (typeof LOOPS)[number];

/** A search in PyTorch: the same weights, rows, triggers and candidates as elibad's. */
export interface StepOpponent {
  readonly about: string;
  /** The step of the record in one form: what it took, and how its answers stand to the record's. Rejects where they differ. */
  step(record: StepRecord, form: Form): Promise<{ readonly time: StepTime; readonly agreement: Agreement }>;
}

/** Opens a problem in PyTorch and compares the logits of a trigger on every row with elibad's. */
export async function openOpponent(
  torch: TorchProcess,
  model: Pick<BenchModel, "folder" | "task">,
  {
    executor,
    prepared,
    trigger,
  }: {
    readonly executor: Pick<Executor, "execute">;
    readonly prepared: PreparedSearch;
    readonly trigger: readonly number[];
  },
): Promise<StepOpponent> {
  const { problem, settings } = prepared;
  const about = await torch.open(model, "search", {
    rows: problem.rows,
    ...(problem.secondRows === undefined ? {} : { second_rows: problem.secondRows }),
    insert_indexes: problem.insertIndexes,
    trigger_len: settings.triggerLen,
    max_len: problem.maxLen,
    end_id: problem.endId,
    vocabulary: problem.vocabulary,
    target: problem.target,
    topk: settings.topk,
    candidates: settings.repeatSize,
  });
  const theirs = await torch.call<Record<Form, number[][]>>("logits", { trigger });
  const ours = await executor.execute(
    problem.rows.map((_, sample) => ({
      kind: "score",
      checkpoint: problem.checkpoint,
      samples: prepared.scoreSamples,
      sample,
      triggers: [trigger],
    })),
  );
  const logits = ours.map(({ tensors }) => [...tensors.logits!.data]);
  for (const form of FORMS) checkLogits(logits, theirs[form], form);
  return {
    about: FORMS.map((form) => `${form}: ${about[form]}`).join("; "),
    async step(record, form) {
      const answer = await torch.call<StepTime & Pick<StepRecord, "topk" | "winner"> & { losses: number[] }>(
        "step",
        { trigger: record.trigger, candidates: record.candidates, form },
      );
      const { ranking, scoring } = answer;
      return { time: { ranking, scoring }, agreement: agreement(record, answer, form) };
    },
  };
}
