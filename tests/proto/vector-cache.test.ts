import { expect, test } from "vitest";
import { VectorCache } from "../../proto/vector-cache.ts";

/** Bytes that an entry counts beside its values. */
const ENTRY = 256;

/** A cache and a record of what was computed. */
function counting(capacity: number) {
  const cache = new VectorCache(capacity * (ENTRY + Float32Array.BYTES_PER_ELEMENT));
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
  const cache = new VectorCache(1_000);
  const failing = cache.get(["a"], async () => {
    throw new Error("no memory");
  });

  await expect(failing).rejects.toThrow("no memory");
  expect(await cache.get(["a"], async () => [Float32Array.of(5)])).toEqual([Float32Array.of(5)]);
});

test("two who ask for the same at the same time compute it once", async () => {
  const { get, computed } = counting(10);
  const [first, second] = await Promise.all([get("a", "bb"), get("bb", "ccc")]);

  expect(first!.map(([value]) => value)).toEqual([1, 2]);
  expect(second!.map(([value]) => value)).toEqual([2, 3]);
  expect(computed).toEqual([["a", "bb"], ["ccc"]]);
});

test("who waited for a computation that failed does it itself", async () => {
  const cache = new VectorCache(1_000);
  const failing = cache.get(["a"], async () => {
    throw new Error("withdrawn");
  });
  const waiting = cache.get(["a"], async () => [Float32Array.of(7)]);

  await expect(failing).rejects.toThrow("withdrawn");
  expect(await waiting).toEqual([Float32Array.of(7)]);
});

test("vectors of any length count by their bytes", async () => {
  const cache = new VectorCache(ENTRY + 4 * 300);
  const computed: string[] = [];
  const ask = (key: string, length: number) =>
    cache.get([key], async () => {
      computed.push(key);
      return [new Float32Array(length)];
    });
  await ask("three", 300);
  await ask("one", 100);
  await ask("one", 100);
  await ask("three", 300);

  expect(computed).toEqual(["three", "one", "three"]);
});
