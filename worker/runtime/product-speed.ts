import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Provider } from "../device-names.ts";
import { encodeOnnx, Graph, matMul, type Value } from "../graph/index.ts";
import { createSession } from "./session.ts";

/** Sides of the matrices: large enough that a GPU's start of a program does not count. */
const SIZE = 512;
const PRODUCTS = 4;
const RUNS = 3;

/** Seconds of the fastest of some runs of a chain of matrix products: what `auto` compares providers by. */
export async function productSeconds(
  provider: Provider,
  { folder, threads }: { readonly folder: string; readonly threads: number },
): Promise<number> {
  const graph = new Graph();
  const matrix = graph.input("matrix", "float32", [SIZE, SIZE]);
  let product: Value = matrix;
  for (let k = 0; k < PRODUCTS; k++) product = matMul(product, matrix);
  graph.output("product", product);
  const path = join(folder, `products-${provider}.onnx`);
  await writeFile(path, encodeOnnx(graph));
  const session = await createSession(path, { provider, threads, packWeights: false });
  try {
    const feeds = { matrix: { shape: [SIZE, SIZE], data: new Float32Array(SIZE * SIZE).fill(1 / SIZE) } };
    let fastest = Number.POSITIVE_INFINITY;
    // The first run also compiles and allocates.
    for (let k = 0; k <= RUNS; k++) {
      const startedAt = performance.now();
      await session.run(feeds, ["product"]);
      if (k > 0) fastest = Math.min(fastest, (performance.now() - startedAt) / 1000);
    }
    return fastest;
  } finally {
    await session.release();
  }
}
