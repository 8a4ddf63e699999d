import { expect, onTestFinished, test, vi } from "vitest";
import { systemClock } from "../../../worker/clock.ts";
import { Outbox } from "../../../worker/outbox/outbox.ts";
import { Delivery } from "../../../worker/supervisor/delivery.ts";

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
