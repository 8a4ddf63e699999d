import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EXIT } from "../../../coordinator/cli/errors.ts";
import { type ElibadProcess, elibadHere, startElibad } from "../../support/command-line.ts";
import { descendantsOf, noOrphans } from "../../support/processes.ts";
import { demoData, randomModel } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { eventually } from "../../support/worker-scenes.ts";

/** `elibad coordinator` on a free port, and the address that it says. */
async function startCoordinatorCommand(): Promise<{ coordinator: ElibadProcess; address: string }> {
  const coordinator = startElibad(["coordinator", "--listen", "127.0.0.1:0", "--insecure"]);
  const said = () => /address=(127\.0\.0\.1:\d+)/.exec(coordinator.stderr())?.[1];
  await eventually(() => said() !== undefined, "the coordinator's address");
  return { coordinator, address: said()! };
}

test("a command that is sent to a coordinator gives what it gives here, and its errors come back as one line", async () => {
  const { coordinator, address } = await startCoordinatorCommand();
  const worker = startElibad([
    "worker",
    "--coordinator",
    address,
    "--insecure",
    "--threads",
    "1",
    "--cache",
    tempFolder(),
  ]);
  const ids = join(tempFolder(), "ids.jsonl");
  writeFileSync(ids, '{"input_ids": [0, 5, 6, 7, 2], "label": 1}\n{"input_ids": [0, 9, 2]}\n');
  const words = ["predict", "--model", await randomModel(), "--ids", ids, "--code-max-len", "64", "--json"];

  const [here, there] = [
    await elibadHere(...words),
    await elibadHere(...words, "--coordinator", address, "--insecure"),
  ];
  expect(there).toEqual(here);
  expect(JSON.parse(there.stdout)).toHaveLength(2);

  const refused = await elibadHere(
    ...["evaluate", "--model", join(demoData, "nowhere"), "--samples", ids, "--coordinator", address],
    "--insecure",
  );
  expect(refused.code).toBe(EXIT.wrongInput);
  expect(refused.stderr).toMatch(/^elibad evaluate: --model \S+nowhere: no such folder\n$/);
  // It was the coordinator that did both.
  for (const line of ["predict is done", "evaluate failed: --model"])
    await eventually(() => coordinator.stderr().includes(line), `'${line}' in the coordinator's log`);

  const processes = [coordinator, worker].flatMap(({ process: { pid } }) => [pid!, ...descendantsOf(pid!)]);
  expect(processes.length).toBeGreaterThanOrEqual(3); // coordinator, worker and its inference child
  for (const each of [worker, coordinator]) each.process.kill("SIGTERM");
  const ends = await Promise.all([worker.ended(), coordinator.ended()]);
  expect(ends.map(({ code }) => code)).toEqual([EXIT.done, EXIT.done]);
  await noOrphans(processes);
});
