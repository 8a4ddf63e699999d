import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  flag,
  idList,
  oneOf,
  option,
  optionalPath,
  pathOption,
  wholeNumber,
} from "../../../coordinator/cli/options.ts";
import { parseOptions } from "../../../coordinator/cli/parse-options.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const specs = {
  config: optionalPath("--config <file>", "options from a file"),
  model: pathOption("--model <dir>", "checkpoint folder"),
  triggerLen: option("--trigger-len <n>", "tokens of the trigger", wholeNumber(1, 64).default(5)),
  half: option("--half <half>", "half of the row", oneOf("first_half", "second_half").default("first_half")),
  json: option("--json", "machine-readable", flag),
  init: option("--init <ids>", "initial trigger", idList.optional()),
};

function configFile(text: string): string {
  const file = join(tempFolder(), "scan.yaml");
  writeFileSync(file, text);
  return file;
}

test("an absent option takes its default, and text from the command line takes its type", () => {
  expect(parseOptions(specs, { model: "m", triggerLen: "7", init: "3, 4" })).toEqual({
    model: "m",
    triggerLen: 7,
    half: "first_half",
    json: false,
    init: [3, 4],
  });
});

test("the command line wins over the config file", () => {
  const config = configFile("model: from-file\ntrigger_len: 3\ninit: [1, 2]\n");
  const parsed = parseOptions(specs, { config, triggerLen: "9" });
  expect(parsed).toMatchObject({ model: "from-file", triggerLen: 9, init: [1, 2] });
});

test("an unknown key is refused with file, line and a suggestion", () => {
  const config = configFile("model: m\ntriger_len: 3\n");
  expect(() => parseOptions(specs, { config })).toThrow(
    /scan\.yaml line 2: unknown key 'triger_len' \(did you mean 'trigger_len'\?\)/,
  );
});

test("a wrong value in the config names file, line, key and value", () => {
  const config = configFile("model: m\nhalf: third_half\n");
  expect(() => parseOptions(specs, { config })).toThrow(
    /scan\.yaml line 2: half "third_half": must be one of first_half, second_half/,
  );
});

test.each([
  [{ triggerLen: "x", model: "m" }, '--trigger-len "x": must be a number'],
  [{ triggerLen: "0", model: "m" }, '--trigger-len "0": must be at least 1'],
  [{ triggerLen: "1.5", model: "m" }, '--trigger-len "1.5": must be a whole number'],
  [{}, "--model is missing: checkpoint folder"],
  [{ model: "m", config: "nowhere.yaml" }, "--config nowhere.yaml: no such file"],
])("wrong use %j is answered with %s", (given, message) => {
  expect(() => parseOptions(specs, given)).toThrow(message);
});

test.each(["gs://bucket/a", "s3://bucket/a", "file:///a"])(
  "a model at %s is no path of this machine",
  (model) => {
    expect(() => parseOptions(specs, { model }, { command: "scan" })).toThrow(
      `--model "${model}": must be a path of this machine; only the files of 'elibad sweep' name buckets`,
    );
  },
);

test("a file that is no YAML map is refused", () => {
  expect(() => parseOptions(specs, { config: configFile("- a\n- b\n") })).toThrow(/must be a YAML map/);
  expect(() => parseOptions(specs, { config: configFile("a: [1\nb: 2\n") })).toThrow(/scan\.yaml line \d+: /);
});
