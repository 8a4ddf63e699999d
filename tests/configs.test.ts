import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commands } from "../coordinator/cli/commands/index.ts";
import { configKeyOf } from "../coordinator/cli/options.ts";
import { parseOptions } from "../coordinator/cli/parse-options.ts";
import { packageRoot } from "../proto/package-root.ts";

const folder = join(packageRoot, "configs");

test.each(readdirSync(folder))(
  "%s is read by its command, and has every option of it, set or commented out",
  (file) => {
    const command = commands.find(({ name }) => `${name}.yaml` === file)!;
    expect(command).toBeDefined();
    const config = join(folder, file);
    expect(() => parseOptions(command.options, { config })).not.toThrow();
    const keys = [...readFileSync(config, "utf8").matchAll(/^#?([a-z_]+):/gm)].map(([, key]) => key);
    const expected = Object.keys(command.options)
      .filter((name) => name !== "config")
      .map(configKeyOf);
    expect(keys.sort()).toEqual(expected.sort());
  },
);

test("every command that takes a config file has one", () => {
  const named = commands
    .filter(({ options, name }) => "config" in options && name !== "inspect")
    .map(({ name }) => `${name}.yaml`);
  expect(readdirSync(folder).sort()).toEqual(named.sort());
});
