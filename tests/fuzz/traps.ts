/** Says whether anything of an input was run: what would run it is replaced by what only notes it. */
import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import vm from "node:vm";

let sprung: string | undefined;

function trap(what: string): (...args: unknown[]) => never {
  return (...args) => {
    sprung ??= `${what}(${JSON.stringify(args.map(String)).slice(0, 200)})`;
    throw new Error(`${sprung} was run`);
  };
}

/** For the rest of this process's life. */
export function setTraps(): void {
  globalThis.eval = trap("eval");
  Object.assign(
    childProcess,
    Object.fromEntries(
      ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"].map((name) => [
        name,
        trap(name),
      ]),
    ),
  );
  Object.assign(
    vm,
    Object.fromEntries(
      ["runInThisContext", "runInNewContext", "runInContext"].map((name) => [name, trap(name)]),
    ),
  );
  syncBuiltinESMExports();
}

/** What was run since the last time that somebody asked. */
export function whatRan(): string | undefined {
  const ran = sprung;
  sprung = undefined;
  return ran;
}
