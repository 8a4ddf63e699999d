import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TermFile } from "../../../coordinator/cli/known-term.ts";
import { StoreDamagedError } from "../../../coordinator/store/errors.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test.each(["", "{", '{"log":"sweeps.db","term":"3"}'])(
  "a term file with %j in it is named, with what is in it",
  (text) => {
    const folder = tempFolder();
    const file = join(folder, "term.json");
    const terms = new TermFile({ kind: "embedded", folder, file: join(folder, "sweeps.db") });
    terms.begin(3);
    expect(terms.last()).toBe(3);
    writeFileSync(file, text);
    expect(() => terms.begin(4)).toThrow(StoreDamagedError);
    expect(() => terms.begin(4)).toThrow(`${file}: says no term but ${JSON.stringify(text)}; remove it`);
  },
);
