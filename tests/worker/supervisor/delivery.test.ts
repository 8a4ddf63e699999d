import { expect, onTestFinished, test, vi } from "vitest";
import { systemClock } from "../../../worker/clock.ts";
import { Outbox } from "../../../worker/outbox/outbox.ts";
import { Delivery } from "../../../worker/supervisor/delivery.ts";

test("what a broker that hangs was given, and what is finished then, goes over the stream of a worker that leaves", async () => {
  const outbox = new Outbox({ maxResults: 4, maxBytes: 1_000, resendMs: 1_000 });
  const result = (fingerprint: string, byte: number) => {
    const of = { fingerprint, envelope: Uint8Array.of(byte), files: [], replaces: [], reusable: true };
    outbox.put(of, 1, 0);
    return of;
  };
  const delivery = new Delivery(outbox, {} as never, systemClock, () => {});
  const sent: number[] = [];
  const published: string[] = [];
  const publisher = {
    isConnected: true,
    publish: (fingerprint: string) => {
      published.push(fingerprint);
      return new Promise<boolean>(() => {});
    },
  };
  const stream = { sendResult: ([byte]: Uint8Array) => void sent.push(byte!) };
  delivery.attach(stream as never, () => publisher as never);
  delivery.send(result("before", 1), "usual");
  await expect.poll(() => published).toEqual(["before"]);
  expect(sent).toEqual([]);
  delivery.hurry();
  delivery.send(result("while it leaves", 2), "usual");
  expect(sent).toEqual([1, 2]);
  expect(published).toEqual(["before"]);
});

test("a result that is not accepted is sent again after a time, whatever the machine's calendar does meanwhile", () => {
  const calendar = vi.spyOn(Date, "now").mockReturnValue(1_700_000_000_000);
  onTestFinished(() => calendar.mockRestore());
  let nowMs = 0;
  const outbox = new Outbox({ maxResults: 4, maxBytes: 1_000, resendMs: 1_000 });
  const envelope = Uint8Array.of(1);
  outbox.put({ fingerprint: "f", envelope, files: [], replaces: [], reusable: true }, 1, nowMs);
  const cache = {} as ConstructorParameters<typeof Delivery>[1];
  const delivery = new Delivery(outbox, cache, { ...systemClock, now: () => nowMs }, () => {});
  const sent: Uint8Array[] = [];
  delivery.attach({ sendResult: (bytes: Uint8Array) => void sent.push(bytes) } as never, () => undefined);
  expect(sent).toHaveLength(1);
  // Set back by an hour.
  calendar.mockReturnValue(1_700_000_000_000 - 3_600_000);
  nowMs = 999;
  delivery.resendOverdue();
  expect(sent).toHaveLength(1);
  nowMs = 1_000;
  delivery.resendOverdue();
  expect(sent).toHaveLength(2);
});
