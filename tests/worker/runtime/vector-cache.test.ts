import { expect, test } from "vitest";
import { VectorCache } from "../../../worker/runtime/vector-cache.ts";

/** A cache and a record of what was computed. */
function counting(capacity: number) {
  const cache = new VectorCache(capacity);
  const computed: string[][] = [];
  const get = (...keys: string[]) =>
    cache.get(keys, async (indexes) => {
      computed.push(indexes.map((index) => keys[index]!));
      return indexes.map((index) => Float32Array.of(keys[index]!.length));
    });
  return { get, computed };
}

test("what is missing is computed at once, each key once, and answers come in the order of the keys", async () => {
  const { get, computed } = counting(10);

  expect((await get("a", "bb", "a")).map(([value]) => value)).toEqual([1, 2, 1]);
  expect((await get("bb", "ccc")).map(([value]) => value)).toEqual([2, 3]);
  expect(computed).toEqual([["a", "bb"], ["ccc"]]);
});

test("the least recently used vector goes first", async () => {
  const { get, computed } = counting(2);
  await get("a", "b");
  await get("a");
  await get("c");
  await get("a");
  await get("b");

  expect(computed).toEqual([["a", "b"], ["c"], ["b"]]);
});

test("more keys than it holds are all answered", async () => {
  const { get } = counting(1);

  expect((await get("a", "bb", "ccc")).map(([value]) => value)).toEqual([1, 2, 3]);
});

test("a failure keeps nothing", async () => {
  const cache = new VectorCache(2);
  const failing = cache.get(["a"], async () => {
    throw new Error("no memory");
  });

  await expect(failing).rejects.toThrow("no memory");
  expect(await cache.get(["a"], async () => [Float32Array.of(5)])).toEqual([Float32Array.of(5)]);
});
