import { describe, expect, test } from "vitest";
import type { ReadyDevice } from "../../../worker/child/messages.ts";
import { deviceOf } from "../../../worker/runtime/device.ts";
import { startTestChild } from "../../support/child-scenes.ts";
import { loadArrays, relativeDifference } from "../../support/golden.ts";
import { openCell } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { noVulkan, vulkanDriver, vulkanEnvironment } from "../../support/vulkan.ts";

// The machines that run these tests have no CUDA libraries; where one has, its worker starts.
const hidden = { ...noVulkan, CUDA_VISIBLE_DEVICES: "" };
/** A software adapter compiles programs slowly. */
const MINUTES = 60_000;

// Elsewhere the system has an adapter that no variable hides.
describe.runIf(process.platform === "linux")("a device that is not there", () => {
  test("cuda: the error says how the libraries are installed", async () => {
    const { started } = await startTestChild("cuda", tempFolder(), hidden);

    expect(started).toMatchObject({ kind: "unusable" });
    expect(started).toHaveProperty(
      "message",
      expect.stringMatching(
        /^device cuda: .*ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node.*docs\/devices\.md$/s,
      ),
    );
  });

  test("webgpu: the error names the adapter that was not found", async () => {
    const { started } = await startTestChild("webgpu", tempFolder(), hidden);

    expect(started).toHaveProperty(
      "message",
      expect.stringMatching(/^device webgpu: .*Failed to get a WebGPU adapter.*docs\/devices\.md$/s),
    );
  });

  test("auto goes on to the CPU and logs the reason for each GPU", async () => {
    const { started, lines } = await startTestChild("auto", tempFolder(), hidden);

    expect(started).toMatchObject({ kind: "ready", device: { deviceClass: { provider: "cpu" } } });
    expect(lines.join("\n")).toMatch(/--device auto: device cuda: .*--device auto: device webgpu: /s);
  });
});

test("a device that an earlier child checked is not checked again, another one is", async () => {
  const { deviceClass } = deviceOf("cuda");
  const found: ReadyDevice = {
    deviceClass,
    elsewhere: ["Add on CPUExecutionProvider"],
    forms: ["primitive", "fused"],
  };
  // That it can be used again is what its first operation shows.
  expect((await startTestChild("cuda", tempFolder(), hidden, found)).started).toEqual({
    kind: "ready",
    device: found,
  });
  const older = { ...found, deviceClass: { ...deviceClass, hardware: "NVIDIA H100, driver 1" } };
  expect((await startTestChild("cuda", tempFolder(), hidden, older)).started).toMatchObject({
    kind: "unusable",
  });
});

// Without a driver nothing of this is registered, so that no test is skipped on machines that cannot have one.
if (vulkanDriver !== undefined && hasShared) {
  describe("webgpu on a software adapter", () => {
    test(
      "passes its self-check, says what goes to the CPU, and gives PyTorch's logits and gradients",
      async () => {
        const { golden, executor, checkpoint, samples, root } = await openCell("defect_detection-codebert");
        const child = await startTestChild("webgpu", root, vulkanEnvironment(vulkanDriver!));
        expect(child.started).toMatchObject({
          kind: "ready",
          device: { deviceClass: { provider: "webgpu", hardware: expect.stringContaining("Vulkan driver") } },
        });
        const { elsewhere } = (child.started as Extract<typeof child.started, { kind: "ready" }>).device;
        // Only the arithmetic of shapes, in 64-bit integers.
        expect(elsewhere).toContain("Concat on CPUExecutionProvider");
        expect(elsewhere.join()).not.toMatch(/MatMul|Gemm|Softmax|LayerNormalization|Erf|Gelu/);

        // Rows of two lengths.
        const rows = [0, 3];
        const [predicted, slopes] = await child.run([
          { kind: "predict", checkpoint, samples, rows },
          {
            kind: "gradient",
            checkpoint,
            samples,
            rows,
            trigger: golden.trigger.ids,
            objective: { kind: "label", label: golden.inputs.target_label },
          },
        ]);

        const of = <T>(list: readonly T[]) => rows.map((row) => list[row]!);
        expect(relativeDifference(predicted!.logits!.data, of(golden.forward.logits).flat())).toBeLessThan(
          2e-5,
        );
        expect(
          relativeDifference(slopes!.logits!.data, of(golden.trigger.forward.logits).flat()),
        ).toBeLessThan(2e-5);
        const arrays = await loadArrays("golden", "tiny", "defect_detection-codebert", "arrays.safetensors");
        const { shape, data } = arrays.get("gradient.per_sample")!;
        const size = shape[1]! * shape[2]!;
        const gradients = rows.flatMap((row) => [...data.subarray(row * size, (row + 1) * size)]);
        expect(relativeDifference(slopes!.gradient!.data, gradients)).toBeLessThan(2e-5);
        await executor.close();
      },
      30 * MINUTES,
    );
  });
}
