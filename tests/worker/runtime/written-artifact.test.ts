import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { withWriter } from "../../../worker/runtime/written-artifact.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const tensors = { w: { shape: [2], data: Float32Array.of(1, 2) } };

test("what an operation wrote stays where it ends well, and is removed where it fails", async () => {
  const folder = tempFolder();
  const failing = withWriter(folder, async (write) => {
    await write("weights", tensors);
    await write("means", tensors);
    expect(readdirSync(folder)).toHaveLength(2);
    throw new Error("the disk is full");
  });
  await expect(failing).rejects.toThrow("the disk is full");
  expect(readdirSync(folder)).toEqual([]);
  const { digest } = await withWriter(folder, (write) => write("weights", tensors));
  expect(digest).toMatch(/^[0-9a-f]{64}$/);
  expect(readdirSync(folder)).toHaveLength(1);
});
