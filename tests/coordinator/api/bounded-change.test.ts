import { type ServiceError, status } from "@grpc/grpc-js";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { sweepCalls } from "../../../coordinator/api/sweep-calls.ts";
import { answerOf } from "../../../coordinator/cli/sweep-client.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { StoreFullError } from "../../../coordinator/store/errors.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { connectToCoordinator } from "../../../proto/client.ts";
import type { SweepSubmittedMessage } from "../../../proto/sweep-messages.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test("a call is answered while the disk is full: what it asks for may be done later, and is done once", async () => {
  const log = new MemoryLog();
  let isFull = true;
  log.before = () => {
    if (isFull) throw new StoreFullError("state.db", "cannot be written: disk is full");
  };
  const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 10));
  const book = await SweepBook.open(log, { now: () => 0, pause });
  const unused = () => {
    throw new Error("this test does not ask for it");
  };
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 10,
    sweepCalls: sweepCalls(
      {
        ...{ book, changeMs: 200, over: new AbortController().signal, explain: unused, backup: unused },
        readFile: async () => sweepOf("friday", 1),
        removal: { remove: unused, requireStays: () => undefined },
        uploads: undefined as never,
      },
      pino({ level: "silent" }),
    ),
  });
  onTestFinished(() => coordinator.close());
  const client = connectToCoordinator(coordinator.address, "plain");
  onTestFinished(() => client.close());
  const submit = () =>
    answerOf<SweepSubmittedMessage>(
      (done) => client.submitSweep({ name: "friday.yaml", text: "", folder: "/" }, done),
      new AbortController().signal,
    );
  for (let asked = 0; asked < 2; asked++) {
    const error = (await submit().catch((failure: unknown) => failure)) as ServiceError;
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    expect(error.details).toBe(
      "not done within 0.2 s: state.db: cannot be written: disk is full; it is tried again and may be done later: ask for the same again",
    );
    expect(book.state.sweeps).toEqual([]);
  }
  isFull = false;
  expect(await submit()).toMatchObject({ isNew: false, sweep: { name: "friday" } });
  expect(log.records).toHaveLength(1);
});
