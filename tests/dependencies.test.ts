import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../proto/package-root.ts";
import { documentedLicences, licences } from "./support/licences.mjs";

const read = (file: string) => JSON.parse(readFileSync(join(packageRoot, file), "utf8"));
const manifest = read("package.json") as Record<
  "dependencies" | "devDependencies",
  Readonly<Record<string, string>>
>;

test("docs/dependencies.md has the licence of every package of the lockfile that runs: else `node tests/support/licences.mjs`", () => {
  const { documented, expected } = documentedLicences();
  expect(documented).toBe(expected);
});

/** Licences that ask for no more than to be named: what is built on them may be used and given on as Apache-2.0 is. */
const PERMISSIVE = [
  "MIT",
  "ISC",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "Unlicense",
  "BlueOak-1.0.0",
];

test("every licence is one that asks for no more than to be named", () => {
  const isPermissive = (licence: string): boolean =>
    licence
      .replaceAll(/[()]/g, "")
      .split(" OR ")
      .some((each) => PERMISSIVE.includes(each));
  const others = [...licences()].filter(([licence]) => !isPermissive(licence));
  expect(others).toEqual([]);
});

test("each direct dependency has its reason, and an exact version", () => {
  const { text } = documentedLicences();
  const rows = text.split("\n").filter((line) => line.startsWith("| `") || line.startsWith("| @types"));
  const named = rows.map((line) => line.split("|")[1]!).join(" ");
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    // Types say nothing of their own.
    if (!name.startsWith("@types/")) expect(named, name).toContain(`\`${name}\``);
  }
});

/** The version that mended the last advisory that was found: the table in docs/dependencies.md. */
const FLOORS: Readonly<Record<string, string>> = Object.fromEntries(
  [...documentedLicences().text.matchAll(/^\| `([^`]+)` \| (\d+\.\d+\.\d+) \| /gm)].map(
    ([, name, version]) => [name!, version!],
  ),
);

test("no copy of a package in the lockfile is older than the version that mended it", () => {
  const { packages } = read("package-lock.json") as {
    readonly packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  const numbers = (version: string) => version.split(".").map(Number);
  const isOlder = (a: string, b: string) => {
    const [left, right] = [numbers(a), numbers(b)];
    const k = left.findIndex((part, place) => part !== right[place]);
    return k >= 0 && left[k]! < right[k]!;
  };
  const copies = Object.entries(packages).flatMap(([path, { version = "0" }]) => {
    const floor = FLOORS[path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)];
    return floor === undefined ? [] : [{ path, version, floor }];
  });
  expect(Object.keys(FLOORS)).toHaveLength(4);
  expect(new Set(copies.map(({ floor }) => floor)).size).toBe(4);
  expect(copies.filter(({ version, floor }) => isOlder(version, floor))).toEqual([]);
});
