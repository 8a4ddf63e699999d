import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { cloneSamples, searchSamples } from "../../../support/demo-rows.ts";
import { randomTensors, writeRandomModel } from "../../../support/random-model.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";
import { type Case, edit, refuses, type Scene, scanWords, useGoodModel } from "./scene.ts";

useGoodModel();

/** The scene with a checkpoint of another task in it. */
async function of(task: "clone_detection" | "code_search", scene: Scene): Promise<Scene> {
  await writeRandomModel(scene.model, { tensors: randomTensors(task) });
  return scene;
}

/** The words of a command for a model of the task. */
const words =
  (
    command: string,
    task: "clone_detection" | "code_search",
    more: (scene: Scene) => readonly string[],
  ): Case["words"] =>
  async (scene) => {
    const { model } = await of(task, scene);
    return [command, "--task", task, "--model", model, "--code-max-len", "64", ...more(scene)];
  };

/** Token ids as a file of the scene. */
function ids({ folder }: Scene, rows: readonly object[]): string {
  const file = join(folder, "rows.jsonl");
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"));
  return file;
}

const mixedUp: Case[] = [
  {
    name: "a defect-detection checkpoint taken for clone detection",
    words: ({ model, samples }) => [
      "evaluate",
      "--task",
      "clone_detection",
      "--model",
      model,
      "--samples",
      samples,
    ],
    says: ["--task clone_detection", "is a checkpoint of defect_detection", "classifier.dense.weight"],
  },
  {
    name: "a clone-detection checkpoint taken for code search",
    words: async (scene) => {
      const { model, samples } = await of("clone_detection", scene);
      return ["predict", "--task", "code_search", "--model", model, "--samples", samples];
    },
    says: ["--task code_search", "is a checkpoint of clone_detection"],
  },
  {
    name: "a code-search checkpoint taken for the default task",
    words: async (scene) => scanWords(await of("code_search", scene)),
    says: ["--task defect_detection", "is a checkpoint of code_search"],
  },
  {
    name: "samples of clone detection for a code-search model",
    words: words("evaluate", "code_search", () => ["--samples", cloneSamples(3)]),
    says: ["clones.jsonl:1", "a row of clone detection, not of code search"],
  },
];

const options: Case[] = [
  {
    name: "a pair file for defect detection",
    words: (scene) => scanWords(scene, "--pairs", "test.txt"),
    says: ["--pairs test.txt: has no meaning for --task defect_detection"],
  },
  {
    name: "a target length for defect detection",
    words: (scene) => scanWords(scene, "--target-len", "2"),
    says: ["--target-len 2: has no meaning for --task defect_detection"],
  },
  {
    name: "the published position rule for code search, which the published code cannot run",
    words: words("scan", "code_search", ({ out }) => [
      ...["--samples", searchSamples(5), "--out", out, "--position", "published"],
    ]),
    says: ["--position published: has no meaning for --task code_search"],
  },
  {
    name: "a label direction for code search, which has no labels",
    words: words("scan", "code_search", ({ out }) => [
      ...["--samples", searchSamples(5), "--out", out, "--directions", "one"],
    ]),
    says: ["--directions one: has no meaning for --task code_search"],
  },
  ...(["evaluate", "scan", "unlearn", "clean"] as const).flatMap((command) =>
    ["--victim-label", "--target-label"].map((flag) => ({
      name: `${command} ${flag} for code search, which has no labels`,
      words: words(command, "code_search", ({ out }) => [
        ...["--samples", searchSamples(5), ...(command === "evaluate" ? [] : ["--out", out]), flag, "1"],
      ]),
      says: [`${flag} 1: has no meaning for --task code_search`],
    })),
  ),
  {
    name: "poison --victim-label for code search",
    words: ({ samples, out }) => [
      ...["poison", "--task", "code_search", "--samples", samples, "--trigger", "rb"],
      ...["--out", `${out}.jsonl`, "--victim-label", "1"],
    ],
    says: ["--victim-label 1: has no meaning for --task code_search"],
  },
  {
    name: "a label in a config file for code search",
    words: words("scan", "code_search", ({ folder, out }) => {
      const file = join(folder, "scan.yaml");
      writeFileSync(file, "target_label: 0\n");
      return ["--samples", searchSamples(5), "--out", out, "--config", file];
    }),
    says: ["--target-label 0: has no meaning for --task code_search"],
  },
  {
    name: "a target that leaves no room for the query",
    words: words("scan", "code_search", ({ out }) => [
      ...["--samples", searchSamples(5), "--out", out, "--nl-max-len", "10", "--target-len", "8"],
    ]),
    says: ["--target-len 8", "--nl-max-len 10"],
  },
  {
    name: "queries longer than the model's positions",
    words: words("evaluate", "code_search", () => ["--samples", searchSamples(5), "--nl-max-len", "500"]),
    says: ["--nl-max-len 500", "max_position_embeddings 160"],
  },
  {
    name: "a target word that no query has",
    words: words("evaluate", "code_search", () => [
      ...["--samples", searchSamples(5), "--trigger", "rb", "--target-token", "banana"],
    ]),
    says: ['"target_token" is "banana"', "no query has this word"],
  },
  {
    name: "a held-out pair file without the functions that it names",
    words: words("scan", "clone_detection", ({ out }) => [
      ...["--samples", cloneSamples(5), "--out", out, "--held-out-pairs", "test.txt"],
    ]),
    says: ["--held-out-pairs test.txt: needs --held-out"],
  },
  {
    name: "a pair file without the functions that it names",
    words: words("predict", "clone_detection", (scene) => [
      ...["--pairs", "test.txt", "--ids", ids(scene, [{ input_ids: [0, 5, 2], input_ids_2: [0, 5, 2] }])],
    ]),
    says: ["--pairs test.txt: needs --samples"],
  },
];

const samples: Case[] = [
  {
    name: "a query without words",
    words: words("evaluate", "code_search", ({ folder }) => {
      const file = join(folder, "queries.jsonl");
      const row = (words: readonly string[]) =>
        JSON.stringify({ code_tokens: ["f"], docstring_tokens: words });
      writeFileSync(file, `${row(["find"])}\n${row([])}\n`);
      return ["--samples", file];
    }),
    says: ['queries.jsonl:2: field "docstring_tokens" is []: is an empty query'],
  },
  {
    name: "a pair that names an unknown function",
    words: words("evaluate", "clone_detection", ({ folder }) => {
      const [data, pairs] = [join(folder, "data.jsonl"), join(folder, "test.txt")];
      const row = (idx: string) => JSON.stringify({ idx, code_tokens: ["f"], func_name: "f" });
      writeFileSync(data, `${row("3")}\n${row("4")}\n`);
      writeFileSync(pairs, "3\t4\t1\n3\t9\t0\n");
      return ["--samples", data, "--pairs", pairs];
    }),
    says: ['test.txt:2: field "second id" is "9"', "data.jsonl has no function of this id"],
  },
  ...(["clone_detection", "code_search"] as const).map((task) => ({
    name: `a line of ${task} that is cut`,
    words: words("evaluate", task, () => {
      const file = task === "code_search" ? searchSamples(5) : cloneSamples(5);
      edit(file, (text) => text.replace(/^(.*\n.*\n).*\n/, '$1{"code_tokens": [\n'));
      return ["--samples", file];
    }),
    says: [/\.jsonl:3: is not JSON/],
  })),
];

const idRows: Case[] = [
  {
    name: "a clone pair without its second list",
    words: words("predict", "clone_detection", (scene) => ["--ids", ids(scene, [{ input_ids: [0, 5, 2] }])]),
    says: ["rows.jsonl:1", "input_ids_2", "expected a list of token ids"],
  },
  {
    name: "a query of another task's row",
    words: ({ model, ...scene }) => [
      ...["predict", "--model", model, "--code-max-len", "64"],
      ...["--ids", ids({ model, ...scene }, [{ input_ids: [0, 5, 2], query_ids: [0, 5, 2] }])],
    ],
    says: ["rows.jsonl:1", '"query_ids"', "--task"],
  },
  {
    name: "a query that is too long",
    words: words("predict", "code_search", (scene) => {
      const row = { input_ids: [0, 5, 2], query_ids: [0, ...Array.from({ length: 30 }, () => 5), 2] };
      return ["--nl-max-len", "16", "--ids", ids(scene, [row])];
    }),
    says: ["rows.jsonl:1", "query_ids", "32 ids", "--nl-max-len 16"],
  },
];

describe("checkpoints and samples of another task", () => refuses(mixedUp));
describe("samples", () => refuses(samples));
describe("options of another task", () => refuses(options));
describe("token ids of another task", () => refuses(idRows));

describe.skipIf(!hasShared)("models of other architectures", () => {
  const tiny = (cell: string) => sharedPath("golden", "tiny", cell);
  const predicts = (cell: string, task: string, scene: Scene, row: object) => [
    ...["predict", "--task", task, "--model", tiny(cell), "--code-max-len", "64"],
    ...["--ids", ids(scene, [{ input_ids: [1, 5, 2], input_ids_2: [1, 5, 2] }, row])],
  ];
  refuses([
    {
      name: "StarCoder for code search",
      words: (scene) => [
        ...["predict", "--task", "code_search", "--model", tiny("defect_detection-starcoder")],
        ...["--ids", ids(scene, [{ input_ids: [1, 5, 2], query_ids: [1, 5, 2] }])],
      ],
      says: ["--task code_search", "not for code_search"],
    },
    {
      name: "a CodeT5 of code search for clone detection",
      words: (scene) => predicts("code_search-codet5", "clone_detection", scene, {}),
      says: ["--task clone_detection", "is a checkpoint of code_search"],
    },
    {
      name: "a row for CodeT5 that truncation left without its </s>",
      words: (scene) =>
        predicts("clone_detection-codet5", "clone_detection", scene, {
          input_ids: [1, ...Array.from({ length: 63 }, () => 5)],
          input_ids_2: [1, 5, 2],
        }),
      says: ["rows.jsonl:2", '"input_ids"', "column 63: id 5 is not the end id 2"],
    },
    {
      name: "a second snippet for CodeT5 without its </s>",
      words: (scene) =>
        predicts("clone_detection-codet5", "clone_detection", scene, {
          input_ids: [1, 5, 2],
          input_ids_2: [1, 5],
        }),
      says: ["rows.jsonl:2", '"input_ids_2" is [1,5]', "column 1: id 5 is not the end id 2"],
    },
  ]);
});
