import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { serveCommands } from "../../../coordinator/cli/serve-commands.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import type { CommandEvent } from "../../../proto/messages.ts";
import { randomModel } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { eventually } from "../../support/worker-scenes.ts";

test("commands beyond the bound wait in their order, and one that is cancelled gives its place to the next", async () => {
  const said: string[] = [];
  const note = (text: unknown) => void said.push(String(text));
  const commands = serveCommands({ info: note, warn: note }, 1);
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 10,
  });
  onTestFinished(() => coordinator.close());
  onTestFinished(() => commands.close());
  commands.useCoordinator(coordinator);
  const ids = join(tempFolder(), "ids.jsonl");
  writeFileSync(ids, '{"input_ids": [0, 5, 6, 7, 2]}\n');
  const optionsJson = JSON.stringify({ model: await randomModel(), ids, codeMaxLen: 64 });
  const submit = () => {
    const cancelling = new AbortController();
    const events: CommandEvent[] = [];
    const ended = commands.submit(
      { command: "predict", optionsJson },
      (event) => void events.push(event),
      cancelling.signal,
    );
    return { cancel: () => cancelling.abort(), events, ended };
  };
  const [first, second, third] = [submit(), submit(), submit()] as const;
  const begun = () => said.filter((line) => line === "predict begins").length;

  // No worker is there: the first one waits for its rows' answers.
  await eventually(() => coordinator.waitingReason() !== undefined, "an operation that waits");
  expect(begun()).toBe(1);
  second.cancel();
  await second.ended;
  expect(begun()).toBe(1);
  first.cancel();
  await first.ended;
  await eventually(() => begun() === 2, "the third command's beginning");
  for (const { events } of [first, second]) expect(events.at(-1)?.event).toBe("failed");
  third.cancel();
  await third.ended;
});

test.each([
  ["null", "options_json: must be a JSON object"],
  ["[]", "options_json: must be a JSON object"],
  ['{"model": "a", "model": "b"}', 'options_json: names the key "model" twice'],
  [`{"ids": ${"[".repeat(50_000)}${"]".repeat(50_000)}}`, "options_json: "],
  [`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`, "options_json: 600001 characters, at most 262144"],
])(
  "options that are none end the command with what is wrong, as in case %#",
  async (optionsJson, problem) => {
    const commands = serveCommands({ info: () => undefined, warn: () => undefined }, 1);
    const coordinator = await startCoordinator({
      protection: "plain",
      artifactFolder: tempFolder(),
      drainMs: 10,
    });
    onTestFinished(() => coordinator.close());
    commands.useCoordinator(coordinator);
    const events: CommandEvent[] = [];
    await commands.submit(
      { command: "predict", optionsJson },
      (event) => void events.push(event),
      new AbortController().signal,
    );
    expect(events).toEqual([
      { event: "failed", failed: { exitCode: 2, message: expect.stringContaining(problem) } },
    ]);
  },
);
