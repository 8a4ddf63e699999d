import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../../proto/package-root.ts";
import { readTensor, readTensorBytes } from "../../../worker/checkpoint/read-tensor.ts";
import { openTorchZip } from "../../../worker/checkpoint/torch-zip.ts";
import { checkFinite } from "../../../worker/checkpoint/verify-weights.ts";

// Files that PyTorch wrote: fixtures/make.py.
const open = (name: string) =>
  openTorchZip(join(packageRoot, "tests", "worker", "checkpoint", "fixtures", name));

test("parameters, integer buffers, views and every floating dtype are read", async () => {
  const tensors = await open("mixed.bin");
  expect([...tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
    ["weight", "float32", [2, 3]],
    ["position_ids", "int64", [1, 4]],
    ["mask", "bool", [2]],
    ["bfloat16", "bfloat16", [3]],
    ["float16", "float16", [3]],
    ["float64", "float64", []],
    ["whole", "float32", [8]],
    ["view", "float32", [2, 2]],
    ["empty", "float32", [0, 4]],
  ]);
  const values = async (name: string) => [...(await readTensor(tensors.get(name)!))];
  expect(await values("weight")).toEqual([0.5, -1, 2, 3, 4, 5]);
  expect(await values("bfloat16")).toEqual([1, -0.10009765625, 226 * 2 ** 120]);
  expect(await values("float16")).toEqual([1, -0.0999755859375, 2 ** -24]);
  expect(await values("float64")).toEqual([Math.fround(0.1)]);
  expect(await values("view")).toEqual([2, 3, 4, 5]);
  expect(await values("empty")).toEqual([]);
  const ids = await readTensorBytes(tensors.get("position_ids")!);
  expect([...new BigInt64Array(ids.buffer)]).toEqual([0n, 1n, 2n, 3n]);
  await expect(readTensor(tensors.get("mask")!)).rejects.toThrow('tensor "mask": has dtype bool');
  await checkFinite({ tensors });
});

test("a view lies inside the storage that it shares", async () => {
  const tensors = await open("mixed.bin");
  expect(tensors.get("view")!.offset - tensors.get("whole")!.offset).toBe(2 * 4);
});

test("a training checkpoint of pickle protocol 4 gives the state dict that it wraps", async () => {
  const tensors = await open("wrapped-protocol-4.bin");
  expect([...tensors.keys()]).toEqual(["weight", "bias"]);
  const bias = await readTensor(tensors.get("bias")!);
  expect(bias[0]).toBeCloseTo(7 - 1e-3, 3); // after one step of AdamW
});

test.each([
  { name: "transposed.bin", message: 'tensor "weight": is not contiguous (shape [3,2], stride [1,3])' },
  { name: "uint16.bin", message: 'the global "torch._utils._rebuild_tensor_v3" is not allowed' },
  { name: "whole-model.bin", message: 'the global "torch.nn.modules.linear.Linear" is not allowed' },
  { name: "no-tensors.bin", message: 'holds no state dict of tensors; its keys are "list", "counts"' },
])("$name is refused: $message", async ({ name, message }) => {
  await expect(open(name)).rejects.toThrow(message);
});
