import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { CoordinatorServer } from "../../../coordinator/api/server.ts";
import { standbyRole } from "../../../coordinator/api/standby.ts";
import { sweepCalls } from "../../../coordinator/api/sweep-calls.ts";
import { LeaderCalls } from "../../../coordinator/cli/leader-calls.ts";
import { eachOf } from "../../../coordinator/cli/sweep-client.ts";
import { type Coordinator, startCoordinator } from "../../../coordinator/coordinator.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import type { SweepRowMessage } from "../../../proto/sweep-messages.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { freeAddress } from "../../support/sweep-processes.ts";
import { sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

async function startStandby(leader: () => string) {
  let asked = 0;
  const role = standbyRole(() => {
    asked++;
    return leader();
  });
  const server = await CoordinatorServer.open({ protection: "plain", metrics: { port: 0 } }, role);
  onTestFinished(() => server.close());
  return { server, asked: () => asked };
}

/** A coordinator that keeps one sweep of this name. */
async function startLeader(name: string, server?: CoordinatorServer): Promise<Coordinator> {
  const book = await SweepBook.open(new MemoryLog(), { now: () => 0 });
  await book.submit(sweepOf(name, 1));
  const unused = () => {
    throw new Error("this test does not ask for it");
  };
  const removal = { remove: unused, requireStays: () => undefined };
  const host = { book, over: new AbortController().signal, removal, explain: unused, backup: unused };
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 10,
    ...(server && { server }),
    sweepCalls: sweepCalls(
      { ...host, readFile: unused, uploads: undefined as never },
      pino({ level: "silent" }),
    ),
  });
  onTestFinished(() => coordinator.close());
  return coordinator;
}

function callsTo(...addresses: string[]): LeaderCalls {
  const calls = new LeaderCalls(addresses, "plain", new AbortController().signal);
  onTestFinished(() => calls.close());
  return calls;
}

const sweepsSeen = (calls: LeaderCalls): Promise<string[]> =>
  calls.with(async (client) => {
    const names: string[] = [];
    await eachOf(client.listSweeps({}), new AbortController().signal, ({ sweeps }) => {
      for (const { name } of sweeps as SweepRowMessage[]) names.push(name);
    });
    return names;
  });

test("a call to a standby is made at the leader that it names, and the next ones go there at once", async () => {
  const leader = await startLeader("friday");
  const { server, asked } = await startStandby(() => leader.address);
  const calls = callsTo(server.address);
  expect(await sweepsSeen(calls)).toEqual(["friday"]);
  const before = asked();
  expect(await sweepsSeen(calls)).toEqual(["friday"]);
  expect(asked()).toBe(before);
  expect(await (await fetch(`http://${server.metricsAddress}/readyz`)).text()).toBe(
    `ready: standby of ${leader.address}\n`,
  );
  expect(await (await fetch(`http://${server.metricsAddress}/metrics`)).text()).toContain(
    "elibad_coordinator_leads 0",
  );
});

test("while nobody leads a call waits, and is made when the standby has taken over", async () => {
  const gone = await freeAddress();
  const { server } = await startStandby(() => gone);
  const calls = callsTo(gone, server.address);
  const said: string[] = [];
  calls.onWaiting = (line) => void said.push(line);
  const seen = sweepsSeen(calls);
  await expect.poll(() => said).toHaveLength(1);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(said).toEqual([
    `--coordinator ${gone},${server.address}: no coordinator answers at ${gone}; asking again for up to 20 s`,
  ]);
  await startLeader("monday", server);
  expect(await seen).toEqual(["monday"]);
});

test("where nobody listens at the only address, that is said within seconds", async () => {
  const address = await freeAddress();
  const begunMs = performance.now();
  await expect(sweepsSeen(callsTo(address))).rejects.toThrow(
    `--coordinator ${address}: no coordinator answers there`,
  );
  expect(performance.now() - begunMs).toBeGreaterThan(3_000);
});

test("two standbys that name each other do not send a call round for ever", async () => {
  const other: { address: string } = { address: "" };
  const first = await startStandby(() => other.address);
  const second = await startStandby(() => first.server.address);
  other.address = second.server.address;
  const stop = new AbortController();
  const calls = new LeaderCalls([first.server.address], "plain", stop.signal);
  const ended = sweepsSeen(calls).catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(first.asked() + second.asked()).toBeLessThan(60);
  stop.abort(new Error("the test is over"));
  expect(await ended).toBeInstanceOf(Error);
});
