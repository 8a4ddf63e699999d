import { join } from "node:path";
import fc from "fast-check";
import { parseDocument } from "yaml";
import { parseSweep } from "../../../coordinator/cli/sweep-file.ts";
import { parseYaml, type YamlFile } from "../../../coordinator/cli/yaml-file.ts";
import { packageRoot } from "../../../proto/package-root.ts";
import { validOf } from "../corpus.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { changedJson, deepJson, jsonChanges, jsonOf, jsonText } from "../generate/json.ts";
import { changedLines, lineChanges } from "../generate/lines.ts";
import { type Files, type Parser, textFile } from "../parser.ts";

/** Where the models of the seeds are. */
const folder = join(packageRoot, "tests/fuzz/corpus/sweep");

const seeds = validOf("sweep").map((files) => {
  const text = Buffer.from(files["sweep.yaml"]!).toString("utf8");
  return { lines: text.split("\n"), tree: jsonOf(parseDocument(text).toJS()) };
});

/** Lines that mean something in YAML. */
const LINES = [
  ...[
    "a: &a [x]",
    "b: *a",
    "<<: *a",
    "settings: &s {epochs: 3}",
    "? [a]\n: b",
    "--- ",
    "...",
    "%YAML 1.1",
    "!!js/function x",
  ],
  ...[
    "models: !!set {a, b}",
    "name: !!binary aGk=",
    "priority: 0x10",
    "weight: .inf",
    "weight: .nan",
    "weight: 1_000",
  ],
  ...[
    "samples: |\n  a\n  b",
    "samples: >-\n  a",
    "samples: 'a",
    'samples: "\\x41"',
    "\tname: x",
    "name: null",
    "name: ~",
  ],
  ...[
    "settings:\n  epochs: 1e9",
    "settings:\n  __proto__: 1",
    "__proto__: {x: 1}",
    "overrides:\n  '+(+(+(a)))': {epochs: 1}",
  ],
  ...[
    "overrides:\n  '*': {epochs: 2}",
    "overrides:\n  '[': {epochs: 2}",
    "overrides: {'!(a)': {}}",
    "models: [{a: b}, {c: d}]",
  ],
  ...[
    "models: [s3://bucket/a]",
    "models: [s3:///]",
    "models: [{x: 'upload:0'}]",
    "models: ['../../../../../../etc/passwd']",
  ],
  ...[
    "s3: {endpoint: 'http://[', region: 1}",
    "list_file: /dev/zero-not-there",
    "list_file: .",
    "max_parallel: 9007199254740993",
  ],
];

const text = fc
  .record({
    seed: fc.nat(seeds.length - 1),
    changes: lineChanges,
    put: fc.array(fc.tuple(fc.nat(99), fc.nat(LINES.length - 1)), { maxLength: 2 }),
  })
  .map(({ seed, changes, put }) => {
    const lines = changedLines(seeds[seed]!.lines, changes);
    for (const [at, which] of put) lines.splice(at % (lines.length + 1), 0, LINES[which]!);
    return lines.join("\n");
  });
const tree = fc
  .record({ seed: fc.nat(seeds.length - 1), changes: jsonChanges })
  .map(({ seed, changes }) => jsonText(changedJson(seeds[seed]!.tree, changes)));

/** Nobody's disk is looked through for a glob that begins at its root, or above the seeds. */
const isHarmless = (yaml: string): boolean =>
  !/(^|[^\w.*-])(\/|\.\.\/\.\.\/)[^\s]*[*?[{(]/.test(yaml) && !yaml.includes("**");

export const sweep: Parser = {
  name: "sweep",
  runs: 4_000,
  inputs: fc
    .record({
      yaml: fc.oneof({ weight: 2, arbitrary: text }, { weight: 5, arbitrary: tree }).filter(isHarmless),
      bytes: byteChanges,
    })
    .map(({ yaml, bytes }): Files => ({ "sweep.yaml": changedBytes(Buffer.from(yaml), bytes) })),
  extremes: () => {
    const levels = (count: number) =>
      Array.from(
        { length: count },
        (_, k) => `l${k + 1}: &l${k + 1} [${Array(9).fill(`*l${k}`).join()}]`,
      ).join("\n");
    const head = "name: a\nsamples: b\nmodels: [s3://bucket/a]\n";
    const cases = {
      "a billion laughs": `l0: &l0 x\n${levels(9)}\n${head}`,
      "an anchor in itself": `${head}settings: &a {x: *a}\n`,
      "brackets in brackets": deepJson(20_000),
      "settings of brackets": `${head}settings: {epochs: ${deepJson(20_000)}}\n`,
      "maps in maps": Array.from({ length: 3_000 }, (_, k) => `${" ".repeat(k)}a:`).join("\n"),
      "a hundred thousand models": `${head.replace("[s3://bucket/a]", "")}${"- s3://bucket/a\n".repeat(50_000)}`,
      "a pattern that backtracks": `${head}overrides: {'${"+(a|a?)".repeat(20)}b': {epochs: 1}}\n`,
      "another pattern that backtracks": `${head}overrides: {'${"*(*a".repeat(12)}${")".repeat(12)}!': {epochs: 1}}\n`,
      "a pattern of stars": `name: a\nsamples: b\nmodels: [{${"a".repeat(120)}: s3://bucket/a}]\noverrides: {'${"*a".repeat(60)}b': {epochs: 1}}\n`,
      "quotes that do not end": `${head}base: "${"\\n".repeat(100_000)}`,
      "a key of a megabyte": `${head}${"k".repeat(1_000_000)}: 1\n`,
      "a hundred thousand comments": `${"# x\n".repeat(100_000)}${head}`,
      "a hundred thousand documents": "---\n".repeat(50_000),
    };
    return Object.fromEntries(
      Object.entries(cases).map(([name, yaml]) => [name, textFile("sweep.yaml", yaml)]),
    );
  },
  parse(files) {
    const text = Buffer.from(files["sweep.yaml"]!).toString("utf8");
    return parseSweep(asYaml(text), folder);
  },
  errors: ["InputError", "SourceError"],
  isHeaderError: (error) => noYaml.has(error) || error.message.includes("must be a YAML map"),
};

/** Errors of what is no YAML at all. */
const noYaml = new WeakSet<Error>();

function asYaml(text: string): YamlFile {
  try {
    return parseYaml("sweep.yaml", text);
  } catch (error) {
    noYaml.add(error as Error);
    throw error;
  }
}
