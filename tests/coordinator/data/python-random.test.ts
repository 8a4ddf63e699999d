import { describe, expect, it } from "vitest";
import { PythonRandom } from "../../../coordinator/data/python-random.ts";

/** Values printed by CPython 3.11. */
describe("PythonRandom draws what CPython draws", () => {
  it("as floats", () => {
    const random = new PythonRandom(42);
    expect([random.random(), random.random(), random.random()]).toEqual([
      0.6394267984578837, 0.025010755222666936, 0.27502931836911926,
    ]);
  });

  it("as integers below an end and between two", () => {
    const random = new PythonRandom(42);
    expect(Array.from({ length: 10 }, () => random.below(100))).toEqual([
      81, 14, 3, 94, 35, 31, 28, 17, 94, 13,
    ]);
    const other = new PythonRandom(180);
    expect(
      Array.from({ length: 5 }, () => other.choice([..."abcdefghijklmnopqrstuvwxyz"] as [string])),
    ).toEqual([..."ecvat"]);
    expect(other.between(-100, 0)).toBe(-67);
  });

  it("after more than one turn of the twister, and from seeds above 32 bits", () => {
    const random = new PythonRandom(123456);
    for (let i = 0; i < 2000; i++) random.random();
    expect(random.bits(32)).toBe(1713132460);
    expect(new PythonRandom(2 ** 40 + 7).bits(32)).toBe(2635837658);
  });

  it.each([
    [10, 3, [1, 0, 4]], // a list is shuffled
    [85, 6, [81, 14, 3, 35, 31, 28]],
    [86, 6, [81, 14, 3, 35, 31, 28]], // a set of what was drawn, from here on
    [1000, 12, [654, 114, 25, 759, 281, 250, 228, 142, 754, 104, 692, 758]],
  ])("as a sample without repeats of %i, %i drawn", (count, size, drawn) => {
    expect(new PythonRandom(42).sample(count, size)).toEqual(drawn);
    expect(new PythonRandom(42).sample(count, count).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: count }, (_, index) => index),
    );
    expect(() => new PythonRandom(42).sample(count, count + 1)).toThrow(RangeError);
  });

  it("refuses a seed or an end that Python's counterpart here cannot take", () => {
    expect(() => new PythonRandom(-1)).toThrow(RangeError);
    expect(() => new PythonRandom(0.5)).toThrow(RangeError);
    expect(() => new PythonRandom(1).below(0)).toThrow(RangeError);
  });
});
