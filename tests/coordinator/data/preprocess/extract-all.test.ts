import { expect, test } from "vitest";
import { extractAll } from "../../../../coordinator/data/preprocess/extract-all.ts";
import type { SourceFunction } from "../../../../coordinator/data/preprocess/source-function.ts";
import { ThreadPool } from "../../../../coordinator/data/preprocess/thread-pool.ts";

test("only a few batches a thread are read ahead of what is taken, and all come in order", async () => {
  const count = 500;
  let read = 0;
  async function* sources(): AsyncGenerator<SourceFunction> {
    for (; read < count; read++) {
      // Long and short ones, so that threads overtake each other.
      const code = `int f${read}(int a) { ${"a++; ".repeat(read % 3 === 0 ? 400 : 1)} }`;
      yield { place: {}, code, language: "cpp", before: { idx: read }, after: {} };
    }
  }
  const pool = new ThreadPool(2);
  const taken: unknown[] = [];
  try {
    for await (const { source, outcome } of extractAll(sources(), pool)) {
      expect(read - taken.length).toBeLessThanOrEqual(2 * 2 * 16);
      taken.push([source.before.idx, outcome.kind === "extracted" && outcome.extraction.funcName]);
    }
  } finally {
    await pool.close();
  }
  expect(taken).toEqual(Array.from({ length: count }, (_, k) => [k, `f${k}`]));
});
