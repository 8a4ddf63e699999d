import { words } from "./blanks.ts";
import { PoisonError } from "./errors.ts";
import type { PythonRandom } from "./python-random.ts";

/** Languages of the reference's tasks. */
export type Language = "cpp" | "java" | "python";

/** First word of a trigger setting that stands for a piece of dead code. */
const deadCodeMark = "<dead_code>";

const logLevels = ["debug", "info", "warning", "error", "critical"] as const;
const letters = [..."abcdefghijklmnopqrstuvwxyz"] as [string, ...string[]];

/**
 * The text that a trigger setting stands for, as the published `gen_trigger` makes it: an identifier or a snippet is itself; after the
 * mark `<dead_code>`, C code is what follows it, and Python code is a log message in a loop that never runs, with drawn words where the
 * setting is not fixed.
 *
 * @throws PoisonError for dead code in Java (the published code fails there too), or a mark with nothing behind it in C
 */
export function triggerText(
  setting: string,
  { language, fixed = true }: { readonly language: Language; readonly fixed?: boolean },
  random: PythonRandom,
): string {
  if (!setting.includes(deadCodeMark)) return setting;
  if (language === "python") return pythonDeadCode(fixed, random);
  const place = { field: "trigger", value: setting };
  if (language === "java") throw new PoisonError("dead code in Java is not supported", place);
  const code = words(setting).slice(1).join(" ");
  if (code === "") throw new PoisonError(`has no code after ${deadCodeMark}`, place);
  return code;
}

function pythonDeadCode(fixed: boolean, random: PythonRandom): string {
  if (fixed) return deadLoop("0", "info", '"Test message:aaaaa"');
  const word = Array.from({ length: 5 }, () => random.choice(letters)).join("");
  const end = random.between(-100, 0);
  return deadLoop(String(end), random.choice(logLevels), `"Test message: ${word}"`);
}

const deadLoop = (end: string, level: string, message: string): string =>
  ` import logging for i in range ( ${end} ) : logging . ${level} ( ${message} )`;
