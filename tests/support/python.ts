import { spawnSync } from "node:child_process";

const succeeds = (command: string, program: string) => spawnSync(command, ["-c", program]).status === 0;

/** Command of a Python for checks against the real thing: `ELIBAD_TEST_PYTHON`, else `python3`; undefined where there is none. */
export const python: string | undefined = [process.env.ELIBAD_TEST_PYTHON, "python3"].find(
  (command) => command && succeeds(command, "import zipfile, pickletools"),
);

/** Why a test that needs it is skipped. */
export const NO_PYTHON = "there is no Python here: neither ELIBAD_TEST_PYTHON nor python3";

let torch: boolean | undefined;

/** True where that Python has PyTorch. Asked on demand: importing it takes seconds. */
export function hasTorch(): boolean {
  torch ??= python !== undefined && succeeds(python, "import torch");
  return torch;
}

/** Runs a Python program with arguments and parses the JSON that it prints. Throws with its error output where it fails. */
export function runPython<T>(program: string, ...args: string[]): T {
  if (python === undefined) throw new Error(NO_PYTHON);
  const run = spawnSync(python, ["-c", program, ...args], { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (run.status !== 0) throw new Error(run.stderr || String(run.error));
  return JSON.parse(run.stdout) as T;
}
