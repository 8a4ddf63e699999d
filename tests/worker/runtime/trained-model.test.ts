import { join } from "node:path";
import { expect, test } from "vitest";
import { readJsonLines } from "../../../coordinator/data/text-file.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { putCheckpoint } from "../../../worker/runtime/put-checkpoint.ts";
import { putJson, rowsOf } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const MODEL = ["golden", "trained", "defect-codebert-backdoored"];
const CLONE_MODEL = ["golden", "trained", "clone-codet5-backdoored"];
const SEARCH_MODEL = ["golden", "trained", "search-codebert-backdoored"];

interface Expected {
  readonly inversion: Record<
    "1->0",
    {
      readonly sample_rows: readonly {
        readonly row: number;
        readonly ids: readonly number[];
        readonly insert_index: number;
      }[];
      readonly search: {
        readonly steps: readonly {
          readonly candidates: readonly (readonly number[])[];
          readonly losses: readonly number[];
          readonly winner: number;
        }[];
      };
    }
  >;
}

test.skipIf(!hasShared)(
  "the trained model scores a step's best and worst candidates to the recorded losses",
  async () => {
    const { inversion } = readSharedJson<Expected>(...MODEL, "expected.json");
    const { sample_rows: rows, search } = inversion["1->0"];
    const step = search.steps[5]!;
    // A few candidates tell as much as 64 about the engine: the winner, the worst and two others.
    const worst = step.losses.indexOf(Math.max(...step.losses));
    const chosen = [step.winner, worst, 0, 63];
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const checkpoint = await putCheckpoint(executor, sharedPath(...MODEL), "defect_detection");
    const samples = await putJson(executor, {
      rows: rows.map(({ ids }) => ids),
      insertIndexes: rows.map(({ insert_index }) => insert_index),
      maxLen: 400,
      endId: 2,
    });
    const triggers = chosen.map((candidate) => step.candidates[candidate]!);

    const results = await executor.execute(
      rows.map((_, sample) => ({ kind: "score", checkpoint, samples, sample, triggers })),
    );

    for (const [at, candidate] of chosen.entries()) {
      // Toward label 0: −ln(p₀ + 1e-10), as the file records it.
      const losses = results.map(
        ({ tensors }) => -Math.log(1 / (1 + Math.exp(tensors.logits!.data[at]!)) + 1e-10),
      );
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      expect(Math.abs(mean - step.losses[candidate]!), `candidate ${candidate}`).toBeLessThan(1e-5);
    }
    await executor.close();
  },
);

interface ClonePair {
  readonly code_tokens1: readonly string[];
  readonly code_tokens2: readonly string[];
}

test.skipIf(!hasShared)(
  "the trained clone model scores a step's best and worst candidates to the recorded losses, encoding each second snippet once",
  async () => {
    const { inversion } = readSharedJson<Expected>(...CLONE_MODEL, "expected.json");
    const { sample_rows: rows, search } = inversion["1->0"];
    const step = search.steps[5]!;
    const worst = step.losses.indexOf(Math.max(...step.losses));
    const chosen = [step.winner, worst, 0, 63];
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "codet5-base"));
    const pairs = readJsonLines(sharedPath(...CLONE_MODEL, "clean_samples.jsonl"));
    const second = rows.map(({ row }) => {
      const { code_tokens2 } = pairs[row]!.value as unknown as ClonePair;
      return tokenizer.encodeRow(code_tokens2.join(" "), 400);
    });
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const checkpoint = await putCheckpoint(executor, sharedPath(...CLONE_MODEL), "clone_detection");
    const samples = await putJson(executor, {
      rows: rows.map(({ ids }) => ids),
      secondRows: second,
      insertIndexes: rows.map(({ insert_index }) => insert_index),
      maxLen: 400,
      endId: 2,
    });
    const triggers = chosen.map((candidate) => step.candidates[candidate]!);
    const scoring = rows.map((_, sample) => ({
      kind: "score" as const,
      ...{ checkpoint, samples, sample, triggers },
    }));

    const results = await executor.execute(scoring);
    const again = await executor.execute(scoring);

    for (const [at, candidate] of chosen.entries()) {
      // Toward label 0: −ln(p₀ + 1e-10), as the file records it.
      const losses = results.map(({ tensors }) => {
        const [zero, one] = rowsOf(tensors.logits!)[at]! as [number, number];
        return -Math.log(1 / (1 + Math.exp(one - zero)) + 1e-10);
      });
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      expect(Math.abs(mean - step.losses[candidate]!), `candidate ${candidate}`).toBeLessThan(1e-5);
    }
    const forwards = (done: typeof results) => done.reduce((sum, result) => sum + result.forwards, 0);
    const distinct = new Set(second.map((ids) => ids.join())).size;
    expect(forwards(results)).toBe(4 * rows.length + distinct);
    expect(forwards(again)).toBe(4 * rows.length);
    expect(again.map(({ tensors }) => tensors)).toEqual(results.map(({ tensors }) => tensors));
    await executor.close();
  },
);

interface SearchRow {
  readonly code_tokens: readonly string[];
  readonly docstring_tokens: readonly string[];
}

test.skipIf(!hasShared)(
  "the trained search model finds a function by its own documentation far more often than by chance",
  async () => {
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"));
    const lines = readJsonLines(sharedPath(...SEARCH_MODEL, "clean_samples.jsonl"));
    const rows = lines.map(({ value }) => value as unknown as SearchRow);
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 2 });
    const checkpoint = await putCheckpoint(executor, sharedPath(...SEARCH_MODEL), "code_search");
    const encode = async (texts: readonly string[], maxLen: number) => {
      const samples = await putJson(executor, {
        rows: texts.map((text) => tokenizer.encodeRow(text, maxLen)),
        maxLen,
        endId: 2,
      });
      const [result] = await executor.execute([
        { kind: "encode", checkpoint, samples, rows: texts.map((_, row) => row) },
      ]);
      return rowsOf(result!.tensors.features!);
    };

    const codes = await encode(
      rows.map(({ code_tokens }) => code_tokens.join(" ")),
      256,
    );
    const queries = await encode(
      rows.map(({ docstring_tokens }) => docstring_tokens.join(" ")),
      128,
    );

    const dot = (a: readonly number[], b: readonly number[]) =>
      a.reduce((sum, value, at) => sum + value * b[at]!, 0);
    for (const vector of [...codes, ...queries]) expect(dot(vector, vector)).toBeCloseTo(1, 5);
    const first = queries.filter((query, row) => {
      const scores = codes.map((code) => dot(query, code));
      return scores.indexOf(Math.max(...scores)) === row;
    });
    // By chance 1 of 100.
    expect(first.length).toBeGreaterThan(25);
    await executor.close();
  },
);
