import { dirname } from "node:path";

/**
 * Manifest (`…_icd.json`) of a Vulkan driver, on which WebGPU is tested where there is no GPU: `ELIBAD_TEST_VULKAN`. SwiftShader's comes with
 * Chromium; its folder holds the loader too. See docs/devices.md.
 */
export const vulkanDriver: string | undefined = process.env.ELIBAD_TEST_VULKAN || undefined;

/** Environment of a process that computes on that driver. */
export const vulkanEnvironment = (manifest: string): Record<string, string> => ({
  VK_DRIVER_FILES: manifest,
  VK_ICD_FILENAMES: manifest,
  LD_LIBRARY_PATH: dirname(manifest),
});

/** Environment of a process that finds no Vulkan driver, whatever the machine has. */
export const noVulkan: Readonly<Record<string, string>> = {
  VK_DRIVER_FILES: "/nonexistent",
  VK_ICD_FILENAMES: "/nonexistent",
};
