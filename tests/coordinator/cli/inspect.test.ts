import { describe, expect, test } from "vitest";
import { elibadHere } from "../../support/command-line.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";

describe.skipIf(!hasShared)("inspect names labels where each has a name", () => {
  test.each([
    { model: ["trained", "defect-starcoder-backdoored"], labels: 2, names: 0 }, // one logit
    { model: ["tiny", "layouts", "roberta-safetensors"], labels: 3, names: 3 },
  ])("$model", async ({ model, labels, names }) => {
    const folder = sharedPath("golden", ...model);
    const { code, stdout } = await elibadHere("inspect", "--model", folder, "--quick", "--json");
    expect(code).toBe(0);
    const inspected = JSON.parse(stdout) as { labels: number; label_names: string[] };
    expect(inspected.labels).toBe(labels);
    expect(inspected.label_names).toHaveLength(names);
  });
});
