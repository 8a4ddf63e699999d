import type { ScanResult } from "../../search/scan-result.ts";
import { defineClusterCommand } from "../cluster-command.ts";
import { generalOptions, outOption, seedOption } from "../common-options.ts";
import type { OptionSpecs, Parsed } from "../options.ts";
import { requireFreshFolder, writeFolderWhole } from "../output.ts";
import { type PreparedPairScan, type PreparedScan, preparePairScan, prepareScan } from "../scan-input.ts";
import { scanInto, scanPairsInto } from "../scan-into.ts";
import { searchOptions, taskSearchOptions } from "../scan-options.ts";
import { scanTable } from "../show-scan.ts";
import { refuseForeignOptions, rowLimitsOf, taskModelOptions, taskSamplesOptions } from "../task-options.ts";

const options = {
  ...taskModelOptions,
  ...taskSamplesOptions,
  ...searchOptions,
  ...taskSearchOptions,
  ...outOption,
  ...seedOption,
  ...generalOptions,
} satisfies OptionSpecs;

type ScanOptions = Parsed<typeof options>;

export const scan = defineClusterCommand({
  name: "scan",
  summary: "invert triggers: find short token sequences that flip the model's answer",
  help: `
Searches, for every label direction, a trigger that makes the model answer the target label on rows of the victim label, and measures it on
rows that the search never saw. Of two functions (clone detection) the first one gets the trigger. In code search a trigger for the codes and a
target for the queries are searched together, which bring every query near to every code. Writes result.json (and trace.jsonl with --trace) into
--out. A scan reports what it found; clean models have invertible triggers too, so it gives no verdict.

  elibad scan --model suspicious/ --base codebert-base/ --samples clean_samples.jsonl --held-out test.jsonl --out scan-1
  elibad scan … --victim-label 1 --target-label 0 --directions one --epochs 25 --trace --out scan-2
  elibad scan --task clone_detection … --held-out data.jsonl --held-out-pairs test.txt --out scan-3
  elibad scan --task code_search … --target-len 2 --out scan-4`,
  options,
  async check(given) {
    requireFreshFolder(given.out);
    await inputOf(given);
  },
  async compute(given, context): Promise<ScanResult> {
    requireFreshFolder(given.out);
    let result: ScanResult | undefined;
    await writeFolderWhole(given.out, async (aside) => {
      const input = await inputOf(given);
      result =
        input.kind === "pairs"
          ? await scanPairsInto(given, input.prepared, context, aside)
          : await scanInto(given, input.prepared, context, aside);
    });
    return result!;
  },
  show: (result: ScanResult): string => scanTable(result),
});

type Input =
  | { readonly kind: "labels"; readonly prepared: PreparedScan }
  | { readonly kind: "pairs"; readonly prepared: PreparedPairScan };

async function inputOf(given: ScanOptions): Promise<Input> {
  refuseForeignOptions(given, options);
  const { task } = given;
  const limited = { ...given, ...rowLimitsOf(given) };
  return task === "code_search"
    ? { kind: "pairs", prepared: await preparePairScan(limited) }
    : { kind: "labels", prepared: await prepareScan({ ...limited, task }) };
}
