import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { OnEnd } from "./on-end.ts";
import { tempFolder } from "./temp-folder.ts";

/** The wall clock of other processes. */
export interface TestClock {
  /** Environment of a process that has this clock, and so have those that it starts. */
  readonly env: Readonly<Record<string, string>>;
  /** From now on the clock is off by so many seconds. */
  jump(seconds: number): void;
}

export function testClock(onEnd?: OnEnd): TestClock {
  const file = join(tempFolder(onEnd), "clock");
  const script = fileURLToPath(new URL("./jumping-clock.mjs", import.meta.url));
  return {
    env: { ELIBAD_TEST_CLOCK: file, NODE_OPTIONS: `--import=${pathToFileURL(script)}` },
    jump: (seconds) => writeFileSync(file, String(seconds)),
  };
}
