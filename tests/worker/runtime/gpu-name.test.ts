import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { gpuName } from "../../../worker/runtime/gpu-name.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const noTool = { run: () => undefined, cards: "/nonexistent" };

test("an NVIDIA GPU is named with its driver, the first that the process sees", () => {
  const asked: string[] = [];
  const run = (command: string, args: readonly string[]) => {
    asked.push([command, ...args].join(" "));
    return "NVIDIA H100 80GB HBM3, 550.54.15\n";
  };

  expect(gpuName("cuda", { CUDA_VISIBLE_DEVICES: "2,3" }, { ...noTool, run })).toBe(
    "NVIDIA H100 80GB HBM3, driver 550.54.15",
  );
  expect(asked).toEqual(["nvidia-smi --query-gpu=name,driver_version --format=csv,noheader --id=2"]);
});

test("WebGPU is named by the Vulkan driver that was chosen, else by the card on the PCI bus", () => {
  const cards = tempFolder();
  for (const [name, id] of [
    ["vendor", "0x8086"],
    ["device", "0x46a6"],
  ] as const) {
    mkdirSync(join(cards, "card1", "device"), { recursive: true });
    writeFileSync(join(cards, "card1", "device", name), `${id}\n`);
  }
  mkdirSync(join(cards, "card1-DP-1"));
  writeFileSync(join(cards, "version"), "drm");

  expect(gpuName("webgpu", { VK_ICD_FILENAMES: "/opt/vk_swiftshader_icd.json" }, noTool)).toBe(
    "Vulkan driver vk_swiftshader_icd",
  );
  expect(gpuName("webgpu", {}, { ...noTool, cards })).toBe("PCI 8086:46a6");
});

test("a GPU that nothing names is called unknown, with the processor beside it", () => {
  expect(gpuName("webgpu", {}, noTool)).toMatch(/^unknown GPU of /);
});
