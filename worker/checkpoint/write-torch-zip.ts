import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ZipFile } from "yazl";
import { byteLengthOf, checkNewTensors, type NewTensor, placeOf, tensorBytes } from "./new-tensor.ts";
import { replaceFiles } from "./replace-files.ts";
import { itemBytes } from "./tensor-entry.ts";
import { pickleStateDict } from "./write-pickle.ts";

/** One date for all entries, so that equal tensors give equal files. */
const stored = { compress: false, forceDosTimestamp: true, mtime: new Date(1980, 0, 1) };

/**
 * Writes a state dict as a zip that `torch.load(path, weights_only=True)` reads (PyTorch 1.6 and later), by rename.
 * Tensors with the same source (array, or place in a file) share a storage, as tied weights do.
 */
export async function writeTorchZip(path: string, tensors: readonly NewTensor[]): Promise<void> {
  checkNewTensors(path, tensors);
  const keys = storageKeys(tensors);
  const pickle = pickleStateDict(
    tensors.map((tensor, i) => ({
      name: tensor.name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      key: keys[i]!,
      elements: byteLengthOf(tensor) / itemBytes[tensor.dtype],
    })),
  );
  const storages = new Map(tensors.map((tensor, i) => [keys[i]!, tensor]));
  await replaceFiles([{ path, write: (temporary) => writeArchive({ path, temporary, pickle, storages }) }]);
}

/** For each tensor the key of its storage: one number per distinct source and dtype. */
function storageKeys(tensors: readonly NewTensor[]): string[] {
  const arrays = new Map<Float32Array, string>();
  const keys = new Map<string, string>();
  return tensors.map(({ data, dtype }) => {
    if (data instanceof Float32Array && !arrays.has(data)) arrays.set(data, `array ${arrays.size}`);
    const source = `${dtype} ${data instanceof Float32Array ? arrays.get(data) : placeOf(data)}`;
    if (!keys.has(source)) keys.set(source, String(keys.size));
    return keys.get(source)!;
  });
}

async function writeArchive({
  path,
  temporary,
  pickle,
  storages,
}: {
  path: string;
  temporary: string;
  pickle: Buffer;
  storages: ReadonlyMap<string, NewTensor>;
}): Promise<void> {
  const zip = new ZipFile();
  const output = zip.outputStream as Readable;
  zip.on("error", (error) => output.destroy(error));
  zip.addBuffer(pickle, "archive/data.pkl", stored);
  zip.addBuffer(Buffer.from("little"), "archive/byteorder", stored);
  for (const [key, tensor] of storages) {
    zip.addReadStreamLazy(`archive/data/${key}`, { ...stored, size: byteLengthOf(tensor) }, (open) => {
      const bytes = Readable.from(tensorBytes(path, tensor), { objectMode: false });
      bytes.on("error", (error) => output.destroy(error));
      open(null, bytes);
    });
  }
  zip.addBuffer(Buffer.from("3\n"), "archive/version", stored);
  zip.end();
  await pipeline(output, createWriteStream(temporary, { flags: "wx" }));
}
