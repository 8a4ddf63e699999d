import { expect, test } from "vitest";
import { LiveLines } from "../../../coordinator/cli/live-lines.ts";

/** A terminal that keeps what is on it: it knows the two control sequences that lines are drawn again with. */
function terminal(columns: number, rows: number) {
  let screen: string[] = [""];
  const write = (text: string) => {
    // Escape (27) is written as a letter that lines do not have.
    for (const part of text.replaceAll(String.fromCharCode(27), "§").split(/(§\[\d*[AJ]|\n)/)) {
      const up = /^§\[(\d+)A$/.exec(part)?.[1];
      if (up !== undefined) screen = [...screen.slice(0, screen.length - 1 - Number(up)), ""];
      else if (part === "\n") screen.push("");
      else if (!part.startsWith("§")) screen[screen.length - 1] += part;
    }
    return true;
  };
  return { stream: { columns, rows, write } as unknown as NodeJS.WriteStream, screen: () => screen };
}

test("lines are drawn in the place of those before, cut to the width, and as many as fit", () => {
  const { stream, screen } = terminal(10, 5);
  const live = new LiveLines(stream);
  live.draw(["friday: 0 of 9 done", " a", " b"]);
  expect(screen()).toEqual(["friday: 0", " a", " b", ""]);
  live.draw(["friday", " b"]);
  expect(screen()).toEqual(["friday", " b", ""]);
  live.write("a failed");
  live.draw(["friday", " b", " c", " d", " e"]);
  expect(screen()).toEqual(["a failed", "friday", " b", " c", "… and 2 m", ""]);
});
