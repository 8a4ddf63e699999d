import { configKeyOf, type OptionSpecs } from "./options.ts";
import { publishedKeys } from "./published-keys.ts";

/** Names of the commands whose `--config` file may have a key. */
export type KeyOwners = (key: string) => readonly string[];

/** Keys by the commands that have them, under elibad's name or that of the published settings. */
export const keyOwners =
  (commands: readonly { readonly name: string; readonly options: OptionSpecs }[]): KeyOwners =>
  (key) =>
    commands
      .filter(
        ({ name, options }) =>
          Object.keys(options).some((option) => option !== "config" && configKeyOf(option) === key) ||
          Object.hasOwn(publishedKeys[name] ?? {}, key),
      )
      .map(({ name }) => name);
