import { architectureOf } from "../../../worker/models/architectures.ts";
import { parseConfig } from "../../../worker/models/config.ts";
import { scratchTensors } from "../../../worker/models/layout.ts";
import { parseLoraConfig } from "../../../worker/models/lora-config.ts";
import { deepJson } from "../generate/json.ts";
import { jsonInputs } from "../generate/json-files.ts";
import { type Files, type Parser, textFile } from "../parser.ts";

const textOf = (files: Files, name: string): string => Buffer.from(files[name]!).toString("utf8");

/** Texts of one file that cost much where a reader calls itself, or shows all that it found. */
const deepFields = (file: string, field: (value: string) => string): Record<string, Files> => ({
  "brackets in brackets": textFile(file, deepJson(1_000_000)),
  "a field of brackets": textFile(file, field(deepJson(100_000))),
  "a field of five million objects": textFile(file, field(`[${"{},".repeat(5_000_000)}{}]`)),
  "a field of ten megabytes": textFile(file, field(JSON.stringify("a".repeat(10_000_000)))),
  "a key of a megabyte": textFile(file, `{${JSON.stringify("a".repeat(1_000_000))}:1,${field("1").slice(1)}`),
  "a hundred thousand keys": textFile(
    file,
    `{${Array.from({ length: 100_000 }, (_, k) => `"_${k}":0`).join()},${field("1").slice(1)}`,
  ),
});

/** `config.json` of every architecture: what it says, and the shapes of the tensors that follow from it. */
export const config: Parser = {
  name: "config",
  runs: 13_000,
  inputs: jsonInputs("config"),
  extremes: () => deepFields("config.json", (value) => `{"model_type":"roberta","hidden_size":${value}}`),
  parse(files) {
    const parsed = parseConfig(textOf(files, "config.json"));
    const { tasks, longestRow } = architectureOf(parsed);
    longestRow.call(architectureOf(parsed), parsed);
    // Names follow from the number of layers, of which a file may have many; the first say what all are.
    if (parsed.layers <= 16) for (const task of tasks) scratchTensors(parsed, task);
  },
  errors: ["ModelError"],
  isHeaderError: ({ message }) => /: (JSON|model_type): /.test(message),
};

export const adapterConfig: Parser = {
  name: "adapter-config",
  runs: 6_000,
  inputs: jsonInputs("adapter-config"),
  extremes: () =>
    deepFields("adapter_config.json", (value) => `{"peft_type":"LORA","r":${value},"lora_alpha":1}`),
  parse: (files) => parseLoraConfig(textOf(files, "adapter_config.json"), "adapter_config.json"),
  errors: ["ModelError"],
  isHeaderError: ({ message }) => /: (JSON|peft_type): /.test(message),
};
