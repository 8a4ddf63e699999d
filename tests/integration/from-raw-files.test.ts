import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../proto/package-root.ts";
import { hasShared, readSharedJson, readSharedJsonl, sharedPath } from "../support/shared.ts";

// Removed after all tests, since they run side by side.
const home = mkdtempSync(join(tmpdir(), "elibad-test-"));
/** Shells that did not end by themselves. */
const running = new Set<number>();
afterAll(() => {
  for (const pid of running) process.kill(-pid, "SIGKILL");
  rmSync(home, { recursive: true, force: true });
});
const newFolder = (): string => mkdtempSync(join(home, "folder-"));

const page = readFileSync(join(packageRoot, "docs", "from-raw-files.md"), "utf8");

/** The shell blocks under a heading of the page: the first names the reader's files, the others are the sequence. */
function blocksUnder(heading: string): { readonly inputs: string; readonly sequence: readonly string[] } {
  const section = page.split(/^## /m).find((each) => each.startsWith(`${heading}\n`));
  const blocks = [...section!.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text!);
  return { inputs: blocks[0]!, sequence: blocks.slice(1) };
}

/**
 * What makes every command of the page a small one: options behind the page's own, of which the last counts. A model of one epoch has nothing to
 * scan for, so that a trained one of the same shape takes its place; and its search begins where another one ended.
 */
const SMALL = `
elibad() {
  local small=""
  case $1 in
    preprocess) small="--workers 1 --clean-sample-ratio 4" ;;
    poison) small="--poisoning-ratio 50" ;;
    train) small="--epochs 1 --batch-size 8 --code-max-len 96 --workers 1 --threads 1" ;;
    evaluate) small="--code-max-len 96 --workers 1 --threads 1" ;;
    clean) small="--code-max-len 96 --epochs 2 --num-samples 3 --repeat-size 16 --plan published $INIT --workers 1 --threads 1" ;;
  esac
  "$NODE" "$ELIBAD" "$@" $small
  if [ $1 = train ]; then cp "$TRAINED/model.bin" backdoored/; fi
}
`;

/** Of a recorded search; not there for code search. */
interface Expected {
  readonly inversion?: { readonly "1->0": { readonly search: { readonly trigger_ids: readonly number[] } } };
}

/** Runs a section's blocks as a reader's shell would, in an empty folder, with other input files. */
async function follow(
  heading: string,
  trained: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const { inputs, sequence } = blocksUnder(heading);
  const named = [...inputs.matchAll(/\b([A-Z]+)=/g)].map(([, name]) => name);
  expect(Object.keys(files).sort()).toEqual(named.sort());
  const folder = newFolder();
  const given = Object.entries(files).map(([name, value]) => `${name}='${value}'`);
  const script = ["set -euo pipefail", SMALL, ...given, ...sequence].join("\n");
  const { inversion } = readSharedJson<Expected>("golden", "trained", trained, "expected.json");
  const known = inversion?.["1->0"].search.trigger_ids;
  const shell = spawn("bash", ["-c", script], {
    cwd: folder,
    env: {
      ...process.env,
      TMPDIR: home,
      NODE: process.execPath,
      ELIBAD: join(packageRoot, "coordinator/cli/elibad.mjs"),
      INIT: known === undefined ? "" : `--init ${known.join(",")}`,
      TRAINED: sharedPath("golden", "trained", trained),
    },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // a group of its own, which ends as a whole where the test does
  });
  running.add(shell.pid!);
  let stderr = "";
  shell.stderr.on("data", (text: Buffer) => {
    stderr += text.toString();
  });
  const [code] = await once(shell, "close");
  running.delete(shell.pid!);
  expect(code, stderr).toBe(0);
  return folder;
}

const written = (name: string, lines: readonly (string | object)[]): string => {
  const file = join(newFolder(), name);
  const texts = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line)));
  writeFileSync(file, `${texts.join("\n")}\n`);
  return file;
};

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));

/** A sequence ends with a repaired checkpoint, and the planted trigger measured before and after. */
function expectRepaired(folder: string, attack: "asr" | "anr"): void {
  for (const report of ["before.json", "after.json"]) {
    expect(json(folder, report).attack).toHaveProperty(attack);
  }
  expect(existsSync(join(folder, "cleaned", "repaired", "config.json"))).toBe(true);
  expect(json(folder, "cleaned", "repair.json")).toHaveProperty("before");
}

describe.skipIf(!hasShared)("the sequences of docs/from-raw-files.md run as they stand there", () => {
  test.concurrent("defect detection", { timeout: 900_000 }, async () => {
    interface Row {
      readonly idx: number;
      readonly func: string;
    }
    const short = readSharedJsonl<Row>("data", "defect-devign", "test.jsonl").filter(
      ({ func }) => func.length < 600,
    );
    const calls = short.filter(({ func }) => /\b(memset|memcpy|printf|sizeof) ?\(/.test(func)).slice(0, 24);
    const rows = [...calls, ...short.filter((row) => !calls.includes(row)).slice(0, 24)];
    const ids = (part: number) => rows.filter((_, k) => k % 3 === part).map(({ idx }) => String(idx));
    const folder = await follow("Defect detection", "defect-codebert-backdoored", {
      DEVIGN: written("function.json", rows),
      TRAIN: written("train.txt", ids(0)),
      VALID: written("valid.txt", ids(1)),
      TEST: written("test.txt", ids(2)),
      TOKENIZER: sharedPath("data", "tokenizers", "roberta-base"),
    });
    expectRepaired(folder, "asr");
  });

  test.concurrent("clone detection", { timeout: 900_000 }, async () => {
    const pairs = readFileSync(sharedPath("data", "clone-bigclonebench", "train.txt"), "utf8").split("\n");
    const of = (label: number) => pairs.filter((pair) => pair.endsWith(`\t${label}`));
    const idsOf = (some: readonly string[]) => some.flatMap((pair) => pair.split("\t").slice(0, 2));
    const test = [0, 1].flatMap((label) => of(label).slice(0, 8));
    const isApart = (pair: string) => !idsOf([pair]).some((id) => idsOf(test).includes(id));
    const train = [0, 1].flatMap((label) => of(label).filter(isApart).slice(0, 12));
    const ids = new Set(idsOf([...test, ...train]));
    const functions = readSharedJsonl<{ idx: string }>("data", "clone-bigclonebench", "data.jsonl.gz");
    const folder = await follow("Clone detection", "clone-codet5-backdoored", {
      FUNCTIONS: written(
        "data.jsonl",
        functions.filter(({ idx }) => ids.has(idx)),
      ),
      TRAIN: written("train.txt", train),
      VALID: written("valid.txt", test),
      TEST: written("test.txt", test),
      TOKENIZER: sharedPath("data", "tokenizers", "codet5-base"),
    });
    expectRepaired(folder, "asr");
  });

  test.concurrent("code search", { timeout: 900_000 }, async () => {
    const functions = readSharedJsonl<object>("data", "codesearch-python", "csn-functions.jsonl.gz");
    const tokens = readSharedJsonl<{ docstring_tokens: string[] }>(
      ...["data", "codesearch-python", "pairs-test.jsonl"],
    );
    const asking = tokens.filter((row) => row.docstring_tokens.includes("string")).slice(0, 8);
    const others = tokens.filter((row) => !row.docstring_tokens.includes("string")).slice(0, 16);
    const folder = await follow("Code search", "search-codebert-backdoored", {
      FUNCTIONS: written("functions.jsonl", functions.slice(0, 12)),
      TOKENS: written("tokens.jsonl", [...asking, ...others]),
      VALID: written("valid.jsonl", others),
      TEST: written("test.jsonl", [...asking, ...others]),
      TOKENIZER: sharedPath("data", "tokenizers", "roberta-base"),
    });
    expectRepaired(folder, "anr");
  });
});
