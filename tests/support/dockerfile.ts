import { readFileSync } from "node:fs";
import {
  type Copy,
  DockerfileParser,
  type Instruction,
  type JSONInstruction,
  type PropertyInstruction,
} from "dockerfile-ast";

/** An instruction that makes files, or says how to start the program. */
export type Step =
  | { readonly kind: "workdir"; readonly path: string }
  | { readonly kind: "run"; readonly command: string }
  /** `from`: a stage; absent: the build's context. The last of the paths is where the others go. */
  | { readonly kind: "copy"; readonly from: string | undefined; readonly paths: readonly string[] }
  | { readonly kind: "env"; readonly name: string; readonly value: string }
  | { readonly kind: "label"; readonly name: string; readonly value: string }
  | { readonly kind: "user"; readonly user: string }
  | { readonly kind: "entrypoint" | "cmd" | "healthcheck"; readonly words: readonly string[] };

/** What stands between one FROM and the next. */
export interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  readonly steps: readonly Step[];
}

/** What it may have that makes no file and starts nothing. */
const SILENT = new Set(["ARG", "EXPOSE", "STOPSIGNAL"]);

/** The stages of a Dockerfile. @throws where it has an instruction that this reader does not follow */
export function readDockerfile(file: string): Stage[] {
  const parsed = DockerfileParser.parse(readFileSync(file, "utf8"));
  const stages: { base: string; name: string | undefined; steps: Step[] }[] = [];
  for (const instruction of parsed.getInstructions()) {
    const keyword = instruction.getKeyword();
    const words = instruction.getArguments().map((argument) => argument.getValue());
    if (keyword === "FROM") {
      const [base, as, name] = words;
      stages.push({ base: base!, name: as?.toUpperCase() === "AS" ? name : undefined, steps: [] });
    } else if (!SILENT.has(keyword)) {
      stages.at(-1)!.steps.push(...stepsOf(instruction, words, file));
    }
  }
  return stages;
}

function stepsOf(instruction: Instruction, words: readonly string[], file: string): Step[] {
  const keyword = instruction.getKeyword();
  const unknown = () => new Error(`${file}: ${keyword} ${words.join(" ")}: the reader does not follow this`);
  switch (keyword) {
    case "WORKDIR":
      return [{ kind: "workdir", path: words[0]! }];
    case "RUN":
      return [{ kind: "run", command: instruction.getArgumentsContent()! }];
    case "COPY": {
      const from = (instruction as Copy).getFromFlag()?.getValue() ?? undefined;
      const paths = words.filter((word) => !word.startsWith("--"));
      return [{ kind: "copy", from, paths }];
    }
    case "ENV":
    case "LABEL":
      return (instruction as PropertyInstruction).getProperties().map((property) => ({
        kind: keyword === "ENV" ? "env" : "label",
        name: property.getName(),
        value: property.getValue() ?? "",
      }));
    case "USER":
      return [{ kind: "user", user: words[0]! }];
    case "ENTRYPOINT":
    case "CMD": {
      // In the other form a shell would stand between the signals and the program.
      const strings = (instruction as JSONInstruction).getJSONStrings().map((each) => each.getJSONValue());
      if (strings.length === 0) throw unknown();
      return [{ kind: keyword === "CMD" ? "cmd" : "entrypoint", words: strings }];
    }
    case "HEALTHCHECK": {
      const list = /CMD\s+(\[.*\])$/s.exec(instruction.getArgumentsContent()!)?.[1];
      if (list === undefined) throw unknown();
      return [{ kind: "healthcheck", words: JSON.parse(list) as string[] }];
    }
    default:
      throw unknown();
  }
}
