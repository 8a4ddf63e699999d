import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { childLimits } from "../../../worker/supervisor/child-limits.ts";
import { startWorkerProcess } from "../../support/processes.ts";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { zeroComputeChild } from "../../support/worker-scenes.ts";

test("the inference process runs under limits where the system has them, and the log says which, or why not", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const worker = startWorkerProcess({
    protection: "plain",
    coordinators: [coordinator.address],
    cacheFolder: tempFolder(),
    childEntry: zeroComputeChild,
    metricsPort: 0,
  });
  await (await coordinator.stream()).take("heartbeat");
  const { command, said } = childLimits("cpu");
  await expect.poll(() => worker.log()).toContain(said);
  if (process.platform !== "linux") {
    expect(said).toMatch(/without limits of its own/);
    return;
  }
  // What the tests run on has util-linux, as every Debian has.
  expect(command[0]).toBe("prlimit");
  const child = await worker.childPid();
  const limits = readFileSync(`/proc/${child}/limits`, "utf8");
  expect(limits).toMatch(/^Max core file size +0 +0 /m);
  expect(limits).toMatch(/^Max file size +17179869184 +17179869184 /m);
  expect(readFileSync(`/proc/${child}/status`, "utf8")).toMatch(/^NoNewPrivs:\s+1$/m);
  // CUDA loads its kernel module by a set-user-id program where nobody did before.
  expect(childLimits("cuda")).toMatchObject({ command: expect.not.arrayContaining(["--no-new-privs"]) });
  // It became the process that it started, so that whoever kills the one has killed the other.
  expect(readFileSync(`/proc/${child}/cmdline`, "utf8")).not.toMatch(/prlimit|setpriv/);
});
