import fc from "fast-check";
import { expect, test } from "vitest";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "../../../worker/checkpoint/float-formats.ts";

const everyBits = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

const formats = [
  { name: "float16", widen: float16ToFloat32, narrow: float32ToFloat16, infinity: 0x7c00 },
  { name: "bfloat16", widen: bfloat16ToFloat32, narrow: float32ToBfloat16, infinity: 0x7f80 },
];

test.each(formats)("$name: every value comes back with the same bits, NaN as NaN", ({ widen, narrow }) => {
  const wide = widen(everyBits);
  const back = narrow(wide);
  const changed = everyBits.filter((bits, i) => !Number.isNaN(wide[i]) && back[i] !== bits);
  expect([...changed]).toEqual([]);
  const again = widen(back);
  expect(everyBits.every((_, i) => Number.isNaN(wide[i]) === Number.isNaN(again[i]))).toBe(true);
});

// The definition of rounding to nearest even, by bisection over the magnitudes, which ascend with their bits.
test.each(formats)(
  "$name: float32 rounds to the nearest value, ties to even bits",
  ({ widen, narrow, infinity }) => {
    const magnitudes = Float64Array.from(widen(everyBits.slice(0, infinity)));
    const step = magnitudes[infinity - 1]! - magnitudes[infinity - 2]!;
    const magnitudeOf = (bits: number) => magnitudes[bits] ?? magnitudes[infinity - 1]! + step;
    const nearest = (value: number): number => {
      let [low, high] = [0, infinity];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (magnitudeOf(middle) <= value) low = middle;
        else high = middle;
      }
      const [below, above] = [value - magnitudeOf(low), magnitudeOf(high) - value];
      return above < below || (above === below && high % 2 === 0) ? high : low;
    };
    const check = (value: number) => {
      const expected = nearest(Math.abs(value)) | (Object.is(value, -0) || value < 0 ? 0x8000 : 0);
      expect(narrow(Float32Array.of(value))[0], String(value)).toBe(expected);
    };
    fc.assert(fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), check), { numRuns: 500 });
    fc.assert(
      fc.property(fc.nat(infinity - 1), fc.constantFrom(-1, 0, 1), (bits, nudge) => {
        const tie = new Float32Array([(magnitudeOf(bits) + magnitudeOf(bits + 1)) / 2]);
        new Int32Array(tie.buffer)[0]! += nudge;
        if (Number.isFinite(tie[0]) && tie[0]! >= 0) check(tie[0]!);
      }),
      { numRuns: 500 },
    );
  },
);
