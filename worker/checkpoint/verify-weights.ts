import { type ByteFile, withFile } from "./byte-file.ts";
import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { crc32 } from "./crc32.ts";
import { type Checkpoint, type Dtype, isFloat, itemBytes, type TensorEntry } from "./tensor-entry.ts";
import { readZipEntries } from "./zip-entries.ts";

const CHUNK_BYTES = 4 * 2 ** 20;

/**
 * Reads every weight once and throws a `CheckpointError` at the first NaN or infinity (file, tensor, element index)
 * and, in torch archives, at the first entry whose bytes do not fit their CRC-32: a flipped bit. Safetensors files
 * carry no checksum, so there a flip that leaves a finite number goes unnoticed.
 */
export async function verifyWeights(checkpoint: Checkpoint): Promise<void> {
  if (checkpoint.container === "torch-zip")
    for (const path of checkpoint.files) await withFile(path, checkCrcs);
  await checkFinite(checkpoint);
}

/** The part of `verifyWeights` about values: throws at the first NaN or infinity. */
export async function checkFinite({ tensors }: Pick<Checkpoint, "tensors">): Promise<void> {
  // Tied weights lie in one place: read it once, under the first name.
  const places = new Map<string, TensorEntry>();
  for (const entry of tensors.values()) {
    const place = `${entry.offset}+${entry.byteLength}:${entry.file}`;
    if (isFloat(entry.dtype) && !places.has(place)) places.set(place, entry);
  }
  const ordered = [...places.values()].sort((a, b) => a.offset - b.offset);
  for (const path of new Set(ordered.map(({ file }) => file)))
    await withFile(path, async (file) => {
      for (const entry of ordered) if (entry.file === path) await checkTensor(file, entry);
    });
}

async function checkTensor(file: ByteFile, entry: TensorEntry): Promise<void> {
  const place = `tensor ${quoted(entry.name)}`;
  let before = 0;
  for await (const chunk of chunks(file, entry.offset, entry.byteLength, place)) {
    const at = firstNonFinite(entry.dtype, chunk);
    if (at >= 0) throw new CheckpointError(file.path, place, `element ${before + at} is NaN or infinite`);
    before += chunk.byteLength / itemBytes[entry.dtype];
  }
}

async function checkCrcs(file: ByteFile): Promise<void> {
  for (const entry of (await readZipEntries(file)).values()) {
    let crc = 0;
    for await (const chunk of chunks(file, entry.dataOffset, entry.size, entry.name)) crc = crc32(chunk, crc);
    if (crc !== entry.crc32)
      throw new CheckpointError(
        file.path,
        `entry ${quoted(entry.name)}`,
        "its CRC-32 does not fit its bytes: the file is damaged",
      );
  }
}

/** Bytes of a range in pieces of at most 4 MiB; each piece is valid until the next is asked for. */
export async function* chunks(
  file: ByteFile,
  offset: number,
  length: number,
  place: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const buffer = new ArrayBuffer(Math.min(CHUNK_BYTES, length));
  for (let done = 0; done < length; done += CHUNK_BYTES) {
    const chunk = new Uint8Array(buffer, 0, Math.min(CHUNK_BYTES, length - done));
    await file.readInto(chunk, offset + done, place);
    yield chunk;
  }
}

/** Index of the first NaN or infinity: an element whose exponent bits are all set; −1 if there is none. */
export function firstNonFinite(
  dtype: Dtype,
  { buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>,
): number {
  switch (dtype) {
    case "float32":
      return firstWithBits(new Uint32Array(buffer, byteOffset, byteLength / 4), 0x7f800000);
    case "float16":
      return firstWithBits(new Uint16Array(buffer, byteOffset, byteLength / 2), 0x7c00);
    case "bfloat16":
      return firstWithBits(new Uint16Array(buffer, byteOffset, byteLength / 2), 0x7f80);
    case "float64":
      return new Float64Array(buffer, byteOffset, byteLength / 8).findIndex(
        (value) => !Number.isFinite(value),
      );
    default:
      return -1;
  }
}

function firstWithBits(words: Uint16Array | Uint32Array, mask: number): number {
  for (let i = 0; i < words.length; i++) if ((words[i]! & mask) === mask) return i;
  return -1;
}
