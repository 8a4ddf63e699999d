import { open } from "node:fs/promises";
import { byteLengthOf, checkNewTensors, type NewTensor, tensorBytes } from "./new-tensor.ts";
import { replaceFiles } from "./replace-files.ts";
import { safetensorsDtypes } from "./safetensors.ts";
import { type Dtype, itemBytes } from "./tensor-entry.ts";

const dtypeNames = new Map([...safetensorsDtypes].map(([name, dtype]) => [dtype, name] as [Dtype, string]));

/**
 * Writes one `.safetensors` file (by rename). Tensors come with the widest elements first, so that each is aligned;
 * otherwise in their order. Safetensors knows no tied tensors: each name gets its own bytes.
 */
export async function writeSafetensors(path: string, tensors: readonly NewTensor[]): Promise<void> {
  checkNewTensors(path, tensors);
  const ordered = [...tensors].sort((a, b) => itemBytes[b.dtype] - itemBytes[a.dtype]);
  await replaceFiles([
    {
      path,
      async write(temporary) {
        const handle = await open(temporary, "wx");
        try {
          await handle.appendFile(header(ordered));
          for (const tensor of ordered)
            for await (const bytes of tensorBytes(path, tensor)) await handle.appendFile(bytes);
        } finally {
          await handle.close();
        }
      },
    },
  ]);
}

/** Length and JSON, padded with spaces to a multiple of eight bytes. */
function header(tensors: readonly NewTensor[]): Buffer {
  let end = 0;
  const fields: [string, unknown][] = tensors.map((tensor) => {
    const begin = end;
    end += byteLengthOf(tensor);
    const { name, dtype, shape } = tensor;
    return [name, { dtype: dtypeNames.get(dtype), shape, data_offsets: [begin, end] }];
  });
  const json = Buffer.from(
    JSON.stringify(Object.fromEntries([["__metadata__", { format: "pt" }], ...fields])),
  );
  const padded = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  padded.writeBigUInt64LE(BigInt(padded.length - 8));
  json.copy(padded, 8);
  return padded;
}
