import { ModelError } from "./errors.ts";
import { FLOATS, type TensorInfo } from "./layout.ts";
import type { LoraConfig } from "./lora-config.ts";
import type { LowRankUpdate } from "./weights.ts";

/** What a LoRA adapter does to its base, by the base's tensor names. */
export interface Lora<T> {
  /** Before the base's own names, where the adapter is of the network inside a wrapper: "encoder." or "". */
  readonly prefix: string;
  readonly updates: ReadonlyMap<string, LowRankUpdate<T>>;
  /** Tensors that the adapter brings along: they take the place of the base's, or add to them. */
  readonly saved: ReadonlyMap<string, T>;
}

/** Before every tensor's name in an adapter: the adapter's model, and the one inside it. */
export const ADAPTER_PREFIX = "base_model.model.";

/** Heads that PEFT saves for classifiers, whether its configuration says so or not. */
const HEADS: readonly string[] = ["classifier", "score"];

/**
 * Pairs an adapter's tensors with those of its base. Throws `ModelError` that names the tensor where one does not fit: most likely the
 * adapter was made for another base.
 */
export function loraOver<T extends TensorInfo>(
  config: LoraConfig,
  adapter: ReadonlyMap<string, T>,
  base: ReadonlyMap<string, T>,
): Lora<T> {
  const layers = new Map<string, { a?: T; b?: T }>();
  const whole = new Map<string, T>();
  for (const [name, tensor] of adapter) {
    const inside = name.startsWith(ADAPTER_PREFIX) ? name.slice(ADAPTER_PREFIX.length) : undefined;
    const [, layer, side] = /^(.+)\.lora_([AB])\.weight$/.exec(inside ?? "") ?? [];
    if (layer !== undefined) {
      layers.set(layer, { ...layers.get(layer), [side === "A" ? "a" : "b"]: tensor });
    } else if (inside !== undefined && isSaved(inside, config)) whole.set(inside, tensor);
    else {
      throw new ModelError(
        tensor.file,
        name,
        `neither half of a linear layer's update (${ADAPTER_PREFIX}….lora_A.weight, ….lora_B.weight) nor in modules_to_save`,
      );
    }
  }
  const prefix = prefixOf([...layers.keys()], base);
  const updates = new Map<string, LowRankUpdate<T>>();
  for (const [layer, halves] of layers) {
    updates.set(`${prefix}${layer}.weight`, updateOf(layer, halves, { config, prefix, base }));
  }
  checkTargets(config, { prefix, layers, base });
  return {
    prefix,
    updates,
    saved: new Map([...whole].map(([name, tensor]) => [`${prefix}${name}`, tensor])),
  };
}

const isSaved = (name: string, { saved }: LoraConfig): boolean =>
  [...saved, ...HEADS].some((layer) => name.startsWith(`${layer}.`) || name.includes(`.${layer}.`));

/** The published wrapper calls the network that an adapter was made for `encoder`. */
function prefixOf(layers: readonly string[], base: ReadonlyMap<string, unknown>): string {
  const wrapped = layers.some((layer) => base.has(`encoder.${layer}.weight`));
  return wrapped && !layers.some((layer) => base.has(`${layer}.weight`)) ? "encoder." : "";
}

function updateOf<T extends TensorInfo>(
  layer: string,
  { a, b }: { readonly a?: T; readonly b?: T },
  {
    config,
    prefix,
    base,
  }: { readonly config: LoraConfig; readonly prefix: string; readonly base: ReadonlyMap<string, T> },
): LowRankUpdate<T> {
  const name = (side: "A" | "B"): string => `${ADAPTER_PREFIX}${layer}.lora_${side}.weight`;
  const file = (a ?? b)!.file;
  if (a === undefined || b === undefined) {
    throw new ModelError(file, name(a === undefined ? "A" : "B"), "the other half of the update has none");
  }
  const weight = base.get(`${prefix}${layer}.weight`);
  if (weight === undefined || weight.shape.length !== 2) {
    throw new ModelError(file, name("A"), `the base has no layer ${prefix}${layer}; ${otherBase(config)}`);
  }
  const [out, input] = weight.shape as [number, number];
  const { rank } = config;
  for (const [side, { shape, dtype }, expected] of [
    ["A", a, [rank, input]],
    ["B", b, [out, rank]],
  ] as const) {
    if (!FLOATS.includes(dtype)) {
      throw new ModelError(file, name(side), `expected one of ${FLOATS.join(", ")}, found ${dtype}`);
    }
    if (shape.length === 2 && shape[0] === expected[0] && shape[1] === expected[1]) continue;
    throw new ModelError(
      file,
      name(side),
      `expected shape [${expected.join(", ")}] for r ${rank} over a base weight of [${out}, ${input}], found [${shape.join(", ")}]; ${otherBase(config)}`,
    );
  }
  return { a, b, scale: config.scale };
}

const otherBase = ({ base }: LoraConfig): string =>
  `is it an adapter for another base? (${base === "" ? "its configuration names none" : `it was made for '${base}'`})`;

/** The layers that the configuration names are those with an update. */
function checkTargets<T extends TensorInfo>(
  config: LoraConfig,
  {
    prefix,
    layers,
    base,
  }: {
    readonly prefix: string;
    readonly layers: ReadonlyMap<string, unknown>;
    readonly base: ReadonlyMap<string, T>;
  },
): void {
  const { targets } = config;
  if (targets === undefined) return;
  const isTarget = (layer: string): boolean =>
    targets.some((target) => layer === target || layer.endsWith(`.${target}`));
  for (const layer of layers.keys()) {
    if (isTarget(layer)) continue;
    throw new ModelError(
      "adapter_config.json",
      "target_modules",
      `${targets.join(", ")} leaves out ${layer}, for which there is an update`,
    );
  }
  for (const [name, { shape }] of base) {
    if (!name.startsWith(prefix) || !name.endsWith(".weight") || shape.length !== 2) continue;
    const layer = name.slice(prefix.length, -".weight".length);
    if (!isTarget(layer) || layers.has(layer)) continue;
    throw new ModelError(
      "adapter_config.json",
      "target_modules",
      `${targets.join(", ")} takes in ${layer} of the base, for which there is no update; ${otherBase(config)}`,
    );
  }
}
