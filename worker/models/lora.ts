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

/** A checkpoint that an adapter is laid over. */
interface Base<T> {
  readonly folder: string;
  readonly tensors: ReadonlyMap<string, T>;
}

/** What an adapter's parts are checked against. */
interface Over<T> {
  readonly config: LoraConfig;
  readonly base: Base<T>;
  readonly prefix: string;
}

/**
 * Pairs an adapter's tensors with those of its base. Throws `ModelError` that names the tensor where one does not fit: most likely the
 * adapter was made for another base.
 */
export function loraOver<T extends TensorInfo>(
  config: LoraConfig,
  adapter: ReadonlyMap<string, T>,
  base: Base<T>,
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
  if (layers.size === 0) {
    const found = whole.size === 0 ? "no tensor" : `only ${[...whole.keys()].join(", ")}`;
    const { file } = [...adapter.values()][0] ?? config;
    throw new ModelError(file, "tensor names", `expected ${ADAPTER_PREFIX}….lora_A.weight; found ${found}`);
  }
  const prefix = prefixOf([...layers.keys()], base.tensors);
  const over: Over<T> = { config, base, prefix };
  const updates = new Map<string, LowRankUpdate<T>>();
  for (const [layer, halves] of layers) {
    updates.set(`${prefix}${layer}.weight`, updateOf(layer, halves, over));
  }
  checkTargets(layers, over);
  checkSaved(whole, over);
  return {
    prefix,
    updates,
    saved: new Map([...whole].map(([name, tensor]) => [`${prefix}${name}`, tensor])),
  };
}

const isOf = (layer: string, name: string): boolean =>
  name.startsWith(`${layer}.`) || name.includes(`.${layer}.`);

const isSaved = (name: string, { saved }: LoraConfig): boolean =>
  [...saved, ...HEADS].some((layer) => isOf(layer, name));

/** The published wrapper calls the network that an adapter was made for `encoder`. */
function prefixOf(layers: readonly string[], base: ReadonlyMap<string, unknown>): string {
  const wrapped = layers.some((layer) => base.has(`encoder.${layer}.weight`));
  return wrapped && !layers.some((layer) => base.has(`${layer}.weight`)) ? "encoder." : "";
}

function updateOf<T extends TensorInfo>(
  layer: string,
  { a, b }: { readonly a?: T; readonly b?: T },
  { config, prefix, base }: Over<T>,
): LowRankUpdate<T> {
  const name = (side: "A" | "B"): string => `${ADAPTER_PREFIX}${layer}.lora_${side}.weight`;
  const file = (a ?? b)!.file;
  if (a === undefined || b === undefined) {
    throw new ModelError(file, name(a === undefined ? "A" : "B"), "the other half of the update has none");
  }
  const weight = base.tensors.get(`${prefix}${layer}.weight`);
  if (weight === undefined || weight.shape.length !== 2) {
    throw new ModelError(
      file,
      name("A"),
      `the base has no layer ${prefix}${layer}; ${otherBase(config, base)}`,
    );
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
      `expected shape [${expected.join(", ")}] for r ${rank} over a base weight of [${out}, ${input}], found [${shape.join(", ")}]; ${otherBase(config, base)}`,
    );
  }
  return { a, b, scale: config.scale };
}

const otherBase = ({ base }: LoraConfig, { folder }: Base<unknown>): string =>
  `is it an adapter for another base? (${base === "" ? "its configuration names none" : `it was made for '${base}'`}; the base is ${folder})`;

/** The layers that the configuration names are those with an update. */
function checkTargets<T extends TensorInfo>(
  layers: ReadonlyMap<string, unknown>,
  { config, prefix, base }: Over<T>,
): void {
  const { targets, file } = config;
  if (targets === undefined) return;
  const isTarget = (layer: string): boolean =>
    targets.some((target) => layer === target || layer.endsWith(`.${target}`));
  for (const layer of layers.keys()) {
    if (isTarget(layer)) continue;
    throw new ModelError(
      file,
      "target_modules",
      `${targets.join(", ")} leaves out ${layer}, for which there is an update`,
    );
  }
  for (const [name, { shape }] of base.tensors) {
    if (!name.startsWith(prefix) || !name.endsWith(".weight") || shape.length !== 2) continue;
    const layer = name.slice(prefix.length, -".weight".length);
    if (!isTarget(layer) || layers.has(layer)) continue;
    throw new ModelError(
      file,
      "target_modules",
      `${targets.join(", ")} takes in ${layer} of the base, for which there is no update; ${otherBase(config, base)}`,
    );
  }
}

/** What the configuration says to be saved whole is there. PEFT lists heads that no model has; a base that has one lost it. */
function checkSaved<T>(whole: ReadonlyMap<string, T>, { config, prefix, base }: Over<T>): void {
  for (const name of base.tensors.keys()) {
    const inside = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    const layer = config.saved.find((each) => isOf(each, inside));
    if (layer === undefined || whole.has(inside)) continue;
    throw new ModelError(
      config.file,
      "modules_to_save",
      `${layer}: the adapter brings no ${inside} along, which the base has`,
    );
  }
}
