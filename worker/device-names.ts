/** Execution providers of onnxruntime that a worker computes with. */
export const PROVIDERS = ["cpu", "cuda", "webgpu"] as const;
export type Provider = (typeof PROVIDERS)[number];

/** What a worker is told: a provider, or `auto`, the best one that can be used where the worker runs. */
export const DEVICES = [...PROVIDERS, "auto"] as const;
export type DeviceName = (typeof DEVICES)[number];
