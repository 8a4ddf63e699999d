import { expect, test } from "vitest";
import { table } from "../../../coordinator/cli/table.ts";

test("a cell with line breaks or a terminal's commands stays in its line, and its column", () => {
  expect(
    table([
      ["job", "trigger", "loss"],
      ["a", "int\n\tx\u001b[2J", "0.1"],
    ]),
  ).toBe("job  trigger          loss\na    int\\n\\tx\\x1b[2J  0.1");
});
