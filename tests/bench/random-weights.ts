import type { Task } from "../../proto/operations.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import type { ModelConfig } from "../../worker/models/config.ts";
import { scratchTensors } from "../../worker/models/layout.ts";
import { uniform } from "../support/uniform.ts";

/**
 * Writes weights that cost the time of real ones: constants as a training begins with, the rest uniform noise, so wide that attention
 * tells tokens apart and candidates have losses that differ by more than rounding. Tensors are windows of one noise array, since drawing 125
 * million numbers would take longer than the measurement.
 */
export async function writeRandomWeights(path: string, config: ModelConfig, task: Task): Promise<void> {
  const drawn = scratchTensors(config, task);
  const counts = drawn.map(({ shape }) => shape.reduce((product, dim) => product * dim, 1));
  const noise = uniformNoise(Math.max(...counts), 1.5 * Math.sqrt(3 / config.hiddenSize));
  const written = new Map<string, Float32Array>();
  let start = 0;
  const tensors = drawn.map(({ name, shape, initial, tiedTo }, k) => {
    const count = counts[k]!;
    if (start + count > noise.length) start = 0;
    const window = noise.subarray(start, start + count);
    start += count;
    const own = initial.kind === "constant" ? new Float32Array(count).fill(initial.value) : window;
    const data = tiedTo === undefined ? own : written.get(tiedTo)!;
    written.set(name, data);
    return { name, dtype: "float32", shape, data } as const;
  });
  await writeSafetensors(path, tensors);
}

/** Uniform in [−most, most). */
function uniformNoise(count: number, most: number): Float32Array {
  const draw = uniform(7);
  const noise = new Float32Array(count);
  for (let k = 0; k < count; k++) noise[k] = (2 * draw() - 1) * most;
  return noise;
}
