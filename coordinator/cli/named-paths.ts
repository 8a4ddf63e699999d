/** What options name: whether it is there, and whether this user may use it. Nothing is made or changed. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { InputError } from "./errors.ts";
import { fileProblem } from "./input-file.ts";

/** A folder that a program reads. @throws InputError naming flag and folder */
export function requireReadableFolder(flag: string, folder: string): void {
  requireFolder(flag, folder);
  requireAccess(flag, folder, constants.R_OK | constants.X_OK);
}

/** A folder that has to be there. @throws InputError naming flag and folder */
export function requireFolder(flag: string, folder: string): void {
  if (!existsSync(folder)) throw new InputError(`${flag} ${folder}: no such folder`);
  if (!statSync(folder).isDirectory()) {
    throw new InputError(`${flag} ${folder}: is a file; name the folder that it lies in`);
  }
}

/** A folder that a program writes into, and makes where it is not there. @throws InputError naming flag and folder */
export function requireWritableFolder(flag: string, folder: string): void {
  let nearest = resolve(folder);
  while (!existsSync(nearest)) nearest = dirname(nearest);
  if (!statSync(nearest).isDirectory()) {
    const what = nearest === resolve(folder) ? "is a file, expected a folder" : `${nearest} is a file`;
    throw new InputError(`${flag} ${folder}: ${what}`);
  }
  requireAccess(flag, folder, constants.W_OK | constants.X_OK, nearest);
}

/** A file that a program reads. @throws InputError naming flag and file */
export function requireReadableFile(flag: string, file: string): void {
  try {
    if (statSync(file).isDirectory()) throw new InputError(`${flag} ${file}: is a folder, expected a file`);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${flag} ${file}: ${fileProblem(error)}`);
  }
  requireAccess(flag, file, constants.R_OK);
}

function requireAccess(flag: string, named: string, mode: number, path = named): void {
  try {
    accessSync(path, mode);
  } catch (error) {
    throw new InputError(`${flag} ${named}: ${fileProblem(error)}`);
  }
}

/** What several checks found wrong, in their order, each thing once. A check throws an InputError, or finds nothing. */
export function problemsOf(checks: readonly (() => unknown)[]): string[] {
  const problems = checks.flatMap((check) => {
    try {
      check();
      return [];
    } catch (error) {
      if (error instanceof InputError) return [error.message];
      throw error;
    }
  });
  return [...new Set(problems)];
}
