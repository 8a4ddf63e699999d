import { type ByteFile, withFile } from "./byte-file.ts";
import { asCheckpointError, CheckpointError, quoted } from "./checkpoint-error.ts";
import { recogniseWeightFile } from "./recognise.ts";
import { isJsonObject, parseStrictJson } from "./strict-json.ts";
import { type Dtype, elementCount, itemBytes, type TensorEntry } from "./tensor-entry.ts";

/** Format: https://github.com/huggingface/safetensors#format (8 bytes of header length, JSON, data without holes). */
export const safetensorsDtypes: ReadonlyMap<string, Dtype> = new Map<string, Dtype>([
  ["F32", "float32"],
  ["F16", "float16"],
  ["BF16", "bfloat16"],
  ["F64", "float64"],
  ["I64", "int64"],
  ["I32", "int32"],
  ["I16", "int16"],
  ["I8", "int8"],
  ["U8", "uint8"],
  ["BOOL", "bool"],
]);

/** A header of the largest known models stays below 1 MB. */
const MAX_HEADER_BYTES = 32 * 2 ** 20;
const MAX_TENSORS = 100_000;
const FIELDS = new Set(["dtype", "shape", "data_offsets"]);

/** Tensors of one `.safetensors` file, in the order of its header. Reads only the header; throws `CheckpointError`. */
export async function openSafetensors(path: string): Promise<ReadonlyMap<string, TensorEntry>> {
  return withFile(path, async (file) => {
    if ((await recogniseWeightFile(file)) === "zip")
      throw new CheckpointError(path, "byte 0", "is a zip archive (a torch file?), not safetensors");
    const { header, dataStart } = await readHeader(file);
    const tensors = new Map<string, TensorEntry>();
    for (const [name, fields] of Object.entries(header)) {
      if (name === "__metadata__") checkMetadata(path, fields);
      else tensors.set(name, tensorEntry(file, dataStart, name, fields));
      if (tensors.size > MAX_TENSORS)
        throw new CheckpointError(path, "header", `names more than ${MAX_TENSORS} tensors`);
    }
    checkCoverage(file, dataStart, tensors);
    return tensors;
  });
}

async function readHeader(file: ByteFile): Promise<{ header: Record<string, unknown>; dataStart: number }> {
  const length = (await file.read(0, 8, "header length")).readBigUInt64LE();
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, file.size - 8))) {
    throw new CheckpointError(
      file.path,
      "header length",
      `a header of ${length} bytes does not fit (file ${file.size} bytes, largest header ${MAX_HEADER_BYTES}); truncated, or not safetensors`,
    );
  }
  const bytes = await file.read(8, Number(length), "header");
  try {
    const header = parseStrictJson(bytes);
    if (!isJsonObject(header)) throw new SyntaxError("is not a JSON object");
    return { header, dataStart: 8 + Number(length) };
  } catch (error) {
    throw asCheckpointError(error, file.path, "header");
  }
}

function checkMetadata(path: string, metadata: unknown): void {
  if (!isJsonObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string"))
    throw new CheckpointError(path, "header field __metadata__", "is not an object of strings");
}

function tensorEntry(file: ByteFile, dataStart: number, name: string, fields: unknown): TensorEntry {
  const refuse = (reason: string): never => {
    throw new CheckpointError(file.path, `tensor ${quoted(name)}`, reason);
  };
  if (!isJsonObject(fields)) return refuse("its header entry is not an object");
  const unknown = Object.keys(fields).find((field) => !FIELDS.has(field));
  if (unknown !== undefined) return refuse(`unknown header field ${quoted(unknown)}`);
  const told =
    typeof fields.dtype === "string" ? fields.dtype : (JSON.stringify(fields.dtype) ?? "undefined");
  const dtype = typeof fields.dtype === "string" ? safetensorsDtypes.get(told) : undefined;
  if (dtype === undefined) return refuse(`dtype ${quoted(told)} is not supported`);
  const shape = fields.shape;
  const count = Array.isArray(shape) && shape.length <= 64 ? elementCount(shape) : undefined;
  if (count === undefined) return refuse("its shape is not a list of at most 64 sizes");
  const offsets = fields.data_offsets;
  const isPair = Array.isArray(offsets) && offsets.length === 2 && typeof offsets[1] === "number";
  if (!isPair || elementCount(offsets.slice(0, 1)) === undefined)
    return refuse("its data_offsets are not two positions");
  const [begin, end] = offsets as [number, number];
  if (!Number.isSafeInteger(end) || end < begin || end > file.size - dataStart)
    return refuse(`data_offsets ${begin} to ${end} lie outside the ${file.size - dataStart} data bytes`);
  const byteLength = count * itemBytes[dtype];
  if (end - begin !== byteLength)
    return refuse(`${dtype} [${shape}] takes ${byteLength} bytes, its data_offsets give ${end - begin}`);
  return { name, dtype, shape: shape as number[], file: file.path, offset: dataStart + begin, byteLength };
}

/** The format allows neither holes nor overlaps: every data byte belongs to one tensor. */
function checkCoverage(file: ByteFile, dataStart: number, tensors: ReadonlyMap<string, TensorEntry>): void {
  let covered = dataStart;
  const ordered = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  for (const { name, offset, byteLength } of ordered) {
    if (offset !== covered) {
      const problem = offset < covered ? "overlaps the tensor before it" : "leaves a hole before it";
      throw new CheckpointError(file.path, `tensor ${quoted(name)}`, `its data ${problem}`);
    }
    covered += byteLength;
  }
  if (covered !== file.size)
    throw new CheckpointError(
      file.path,
      `byte ${covered}`,
      `${file.size - covered} bytes belong to no tensor`,
    );
}
