import type { Digest } from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import { evaluateModel } from "../evaluate/evaluate.ts";
import { evaluateSearch } from "../evaluate/evaluate-search.ts";
import { type F1, f1Of } from "../evaluate/metrics.ts";
import { evaluateSpliced } from "../evaluate/spliced.ts";
import { formatRate, type Rate } from "../search/rate.ts";
import type { PairSearchResult, SearchResult, SplicedRank } from "../search/scan-result.ts";
import { splicedRank } from "../search/spliced-rank.ts";
import { createHead, headNames } from "../training/head.ts";
import type { ClusterContext } from "./command.ts";
import { type OpenedModel, openTokenizer, publishCheckpoint } from "./open-model.ts";
import { showRows } from "./progress.ts";
import type { Repaired } from "./repair.ts";
import { type RepairRows, readRepairRows } from "./repair-rows.ts";
import type { PreparedPairScan, PreparedScan } from "./scan-input.ts";
import { readWeight, trainableWeights } from "./trainable-weights.ts";

/** A classifier on the rows of `measured_on`, with each unlearned trigger at each row's own index. */
export interface MeasuredLabels {
  readonly acc: Rate;
  readonly recall: readonly Rate[];
  /** Clone detection. */
  readonly f1?: F1;
  readonly triggers: readonly {
    readonly text: string;
    readonly victim_label: number;
    readonly target_label: number;
    readonly asr: Rate;
    readonly without_trigger: Rate;
  }[];
}

/** A code-search model on the rows of `measured_on`. */
export interface MeasuredRanks {
  /** Mean reciprocal rank of each query's own code among all of the rows. */
  readonly mrr: number;
  readonly r1: Rate;
  readonly triggers: readonly ({ readonly text: string } & SplicedRank)[];
}

export type Measured = MeasuredLabels | MeasuredRanks;

interface MeasuredFiles {
  readonly model: string;
  readonly base?: string | undefined;
  readonly samples: string;
  readonly pairs?: string | undefined;
  readonly heldOut?: string | undefined;
  readonly heldOutPairs?: string | undefined;
}

/** Rows that measure the model: those held out, else the samples that no search used. */
function measuredRows(
  given: MeasuredFiles,
  opened: OpenedModel,
  searches: readonly { readonly samples: readonly { readonly row: number }[] }[],
): RepairRows {
  const { heldOut, heldOutPairs } = given;
  if (heldOut !== undefined) return readRepairRows({ samples: heldOut, pairs: heldOutPairs }, opened, []);
  const used = new Set(searches.flatMap(({ samples }) => samples.map(({ row }) => row)));
  const all = readRepairRows(given, opened, []);
  return { ...all, rows: all.rows.filter((_, row) => !used.has(row)) } as RepairRows;
}

/** Measures the unrepaired model, or the one with new weights, on the same rows at the same places. */
export type Measure = (repaired: Repaired | undefined) => Promise<Measured>;

export function measuringLabels(
  given: MeasuredFiles,
  { opened, settings, input }: PreparedScan,
  searches: readonly SearchResult[],
  context: ClusterContext,
): Measure {
  const tokenizer = openTokenizer(given, opened);
  const measured = measuredRows(given, opened, searches);
  if (measured.task === "code_search") throw new Error("rows of code search have no labels");
  const { rows } = measured;
  const all = input.heldOut ?? input.rows;
  return async (repaired) => {
    const asking = { ...(await askedModel(opened, repaired, context)), maxLen: settings.codeMaxLen };
    const { acc, recall, logits } = await evaluateModel(rows, { ...asking, tokenizer });
    const triggers: MeasuredLabels["triggers"][number][] = [];
    for (const { trigger, victim_label, target_label, held_out } of searches) {
      const placed = held_out.map(({ row }) => all[row]!);
      const spliced = await evaluateSpliced(
        {
          rows: placed.map(({ ids }) => ids),
          ...(opened.task === "clone_detection"
            ? { secondRows: placed.map(({ secondIds }) => secondIds!) }
            : {}),
          insertIndexes: held_out.map(({ insert_index }) => insert_index),
        },
        { trigger: trigger!.ids, target: target_label },
        { ...asking, endId: tokenizer.ids.restored },
      );
      const { asr, withoutTrigger: without_trigger } = spliced;
      triggers.push({ text: trigger!.text, victim_label, target_label, asr, without_trigger });
    }
    const f1 =
      opened.task === "clone_detection"
        ? {
            f1: f1Of(
              logits,
              rows.map(({ label }) => label),
            ),
          }
        : {};
    return { acc, recall, ...f1, triggers };
  };
}

export function measuringRanks(
  given: MeasuredFiles,
  { opened, settings, input }: PreparedPairScan,
  searches: readonly PairSearchResult[],
  context: ClusterContext,
): Measure {
  const tokenizer = openTokenizer(given, opened);
  const measured = measuredRows(given, opened, searches);
  if (measured.task !== "code_search") throw new Error("rows with labels have no queries");
  const all = input.heldOut ?? input.rows;
  const { codeMaxLen, nlMaxLen } = settings;
  return async (repaired) => {
    const asking = await askedModel(opened, repaired, context);
    const { mrr, recallAt } = await evaluateSearch(measured.rows, {
      ...asking,
      tokenizer,
      codeMaxLen,
      nlMaxLen,
    });
    const endId = tokenizer.ids.restored;
    const contexts = {
      codes: { ...asking, endId, maxLen: codeMaxLen },
      queries: { ...asking, endId, maxLen: nlMaxLen },
    };
    const triggers: MeasuredRanks["triggers"][number][] = [];
    for (const { trigger, target, held_out } of searches) {
      const placed = held_out.map(({ row }) => all[row]!);
      const rank = await splicedRank(
        {
          rows: placed.map(({ ids }) => ids),
          insertIndexes: held_out.map(({ insert_index }) => insert_index),
        },
        // The target stands behind the first token of each query (DESIGN 5.2).
        { rows: placed.map(({ queryIds }) => queryIds), insertIndexes: placed.map(() => 1) },
        { trigger: trigger!.ids, target: target?.ids ?? [] },
        contexts,
      );
      triggers.push({ text: trigger!.text, ...rank });
    }
    return { mrr, r1: recallAt[1], triggers };
  };
}

/**
 * The model to ask: weights that did not change stay the checkpoint's. Where none but the head's did, rows are encoded once, and
 * either head answers from their features.
 */
async function askedModel(
  opened: OpenedModel,
  repaired: Repaired | undefined,
  { executor, display, signal, answers }: ClusterContext,
) {
  const checkpoint = await publishCheckpoint(executor, opened);
  const logitsOf = await headAlone(opened, repaired);
  return {
    executor,
    checkpoint,
    signal,
    answers,
    onProgress: showRows(display, repaired ? "measuring the repaired model" : "measuring the model"),
    ...(logitsOf === undefined
      ? { weights: repaired && (await putWeights(repaired, opened, executor)) }
      : { logitsOf }),
  };
}

/** What the head makes of features; undefined where the model has no head, or its encoder was trained too. */
async function headAlone(
  opened: OpenedModel,
  repaired: Repaired | undefined,
): Promise<((features: Float32Array) => Float32Array) | undefined> {
  const { head } = opened.layout;
  if (head === undefined) return undefined;
  const names = headNames(head);
  const changed = repaired?.weights ?? new Map<string, Float32Array>();
  if ([...changed.keys()].some((name) => !names.includes(name))) return undefined;
  const weights = new Map<string, { data: Float32Array }>();
  for (const name of names)
    weights.set(name, { data: changed.get(name) ?? (await readWeight(opened, name)) });
  const used = createHead(head, weights);
  return (features) => Float32Array.from(used.forward(features).logits);
}

async function putWeights(
  { weights }: Repaired,
  opened: OpenedModel,
  executor: ClusterContext["executor"],
): Promise<Digest> {
  const all = await trainableWeights(opened);
  const tensors = [...weights].map(([name, data]) => [name, { shape: all.get(name)!.shape, data }] as const);
  return executor.putArtifact(encodeTensors(Object.fromEntries(tensors)));
}

/** Lines `name before → after` for people. */
export function measuredLines(before: Measured, after: Measured): string[] {
  const line = (name: string, from: string, to: string): string => `${name.padEnd(18)} ${from} → ${to}`;
  if ("mrr" in before && "mrr" in after) {
    return [
      line("MRR", before.mrr.toFixed(3), after.mrr.toFixed(3)),
      line("first", formatRate(before.r1), formatRate(after.r1)),
      ...before.triggers.map(({ text, anr }, k) => {
        const rank = (value: number | null | undefined): string => value?.toFixed(3) ?? "none";
        return line(`ANR of '${text}'`, rank(anr), rank(after.triggers[k]!.anr));
      }),
    ];
  }
  if ("mrr" in before || "mrr" in after) throw new Error("a measurement before and one after of two tasks");
  return [
    line("ACC", formatRate(before.acc), formatRate(after.acc)),
    ...before.recall.map((rate, label) =>
      line(`recall of ${label}`, formatRate(rate), formatRate(after.recall[label]!)),
    ),
    ...(before.f1 && after.f1 ? [line("F1", before.f1.f1.toFixed(3), after.f1.f1.toFixed(3))] : []),
    ...before.triggers.flatMap(({ text, victim_label, target_label, asr, without_trigger }, k) => {
      const now = after.triggers[k]!;
      return [
        line(`'${text}' ${victim_label}→${target_label}`, formatRate(asr), formatRate(now.asr)),
        line("  without trigger", formatRate(without_trigger), formatRate(now.without_trigger)),
      ];
    }),
  ];
}
