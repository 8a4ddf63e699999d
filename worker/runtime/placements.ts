import { readFile } from "node:fs/promises";

/** A node's run in a profile of onnxruntime, as far as it is read here. */
interface ProfileEvent {
  readonly cat?: string;
  readonly args?: { readonly provider?: string; readonly op_name?: string };
}

/** Operators, each once, that onnxruntime computed with another provider than the one that begins with `provider`: "Add on CPUExecutionProvider". */
export async function operatorsElsewhere(profile: string, provider: string): Promise<string[]> {
  const events = JSON.parse(await readFile(profile, "utf8")) as readonly ProfileEvent[];
  const elsewhere = events.flatMap(({ cat, args }) => {
    if (cat !== "Node" || !args?.provider || !args.op_name) return [];
    return args.provider.toLowerCase().startsWith(provider) ? [] : [`${args.op_name} on ${args.provider}`];
  });
  return [...new Set(elsewhere)].sort();
}
