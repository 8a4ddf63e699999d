import { join } from "node:path";
import { expect, test } from "vitest";
import { elibadHere } from "../../support/command-line.ts";
import { searchSamples } from "../../support/demo-rows.ts";
import { randomModel } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test.each([
  { command: "train", more: ["--epochs", "3", "--batch-size", "6"], what: "training" },
  {
    command: "unlearn",
    more: ["--trigger", "rb", "--plan", "published", "--unlearning-epochs", "3", "--batch-size", "6"],
    what: "unlearning 'rb'",
  },
])(
  "$command with a rate that is far too large names the step, and what to do",
  async ({ command, more, what }) => {
    const model = await randomModel("code_search");
    const out = join(tempFolder(), "out");
    const { code, stderr } = await elibadHere(
      ...[command, "--task", "code_search", "--model", model, "--samples", searchSamples(12), "--out", out],
      ...["--code-max-len", "64", "--learning-rate", "1e30", "--warmup", "0.5", ...more],
    );

    const line = stderr.split("\n").find((each) => each.startsWith("elibad"));
    expect(line).toMatch(
      new RegExp(
        `^elibad ${command}: ${what} diverged after step \\d+ \\(loss \\S+, learning rate \\S+\\); give a smaller --learning-rate: operation `,
      ),
    );
    expect(code).toBe(1);
  },
);
