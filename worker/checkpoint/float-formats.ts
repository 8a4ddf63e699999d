/** Conversions between float32 and the two half formats, exact or rounded to nearest even as PyTorch does. */

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);
let halfValues: Float32Array | undefined;

/** IEEE 754 binary16 bits to float32, exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  halfValues ??= Float32Array.from({ length: 65_536 }, (_, half) => halfValue(half));
  const table = halfValues;
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!;
  return values;
}

function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** bfloat16 bits (the upper half of a float32) to float32, exact. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = bits[i]! << 16;
  return new Float32Array(wide.buffer);
}

/** float32 to binary16 bits, nearest even; above 65,519 becomes infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    scratch[0] = values[i]!;
    halves[i] = halfBits(scratchBits[0]!);
  }
  return halves;
}

function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // from 65,520 on
  if (magnitude >= 0x38800000) {
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13); // exponent bias 127 → 15
  }
  // Subnormal halves are whole multiples of 2^-24. The product is exact in a double.
  scratchBits[0] = magnitude;
  return sign | roundToEven(scratch[0]! * 2 ** 24);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** float32 to bfloat16 bits, nearest even. */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    scratch[0] = value;
    const bits = scratchBits[0]!;
    halves[i] = Number.isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return halves;
}
