import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";

/** JSON without seconds, without the folder that results lie in, and without the device, which no program in one process names. */
export const timeless = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, inner) => (/seconds$|^(folder|device)$/.test(key) ? undefined : inner)),
  );

/** Every file of a job's results: JSON without what takes time, everything else by digest. */
export function resultFiles(folder: string): Record<string, unknown> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      const bytes = readFileSync(path);
      return [
        path.slice(folder.length + 1),
        name.endsWith(".json") ? timeless(JSON.parse(String(bytes))) : digestOf(bytes),
      ];
    }),
  );
}
