import fc from "fast-check";
import { expect, test } from "vitest";
import { digestOf } from "../../../proto/canonical-json.ts";
import type { ScoreOperation } from "../../../proto/operations.ts";
import { creditToGrant, LeaseBook } from "../../../worker/supervisor/lease-book.ts";

const operation: ScoreOperation = {
  kind: "score",
  checkpoint: digestOf("checkpoint"),
  samples: digestOf("samples"),
  sample: 0,
  triggers: [[1]],
};

/** A book with a lease (id 1, 2, …) in each of these states; the first one sent runs. */
function bookOf(...states: ("fetching" | "ready" | "sent")[]): LeaseBook {
  const book = new LeaseBook();
  states.forEach((state, k) => {
    const assignment = book.add(k + 1, digestOf(`operation ${k + 1}`), operation);
    if (state === "sent") book.send(assignment);
    else assignment.state = state;
  });
  return book;
}

test("operations go to the child in the order in which they came, past those that wait for artifacts", () => {
  const book = bookOf("fetching", "ready", "ready");
  expect(book.nextReady()?.leaseId).toBe(2);
  book.get(1)!.state = "ready";
  expect(book.nextReady()?.leaseId).toBe(1);
});

test("only the first operation sent runs: it takes a kill, the one behind it a word, others nothing", () => {
  const states = ["sent", "sent", "ready", "fetching"] as const;
  const kinds = [1, 2, 3, 4, 5].map((leaseId) => bookOf(...states).withdraw(leaseId).kind);
  expect(kinds).toEqual(["kill", "skip", "dropped", "dropped", "unknown"]);
});

test("the operation that runs is the first one sent, whenever its lease came", () => {
  const book = bookOf("fetching", "sent", "sent");
  book.send(book.get(1)!);
  expect(book.sent().map(({ leaseId }) => leaseId)).toEqual([2, 3, 1]);
  book.remove(2);
  expect(book.running()?.leaseId).toBe(3);
});

test("after a child is gone, what it had is ready again", () => {
  const book = bookOf("sent", "sent", "fetching");
  book.remove(book.running()!.ticket);
  book.takeBackSent();
  expect(book.running()).toBeUndefined();
  expect(book.nextReady()?.leaseId).toBe(2);
});

test("when the stream ends, only what runs stays, for a new lease to take over", () => {
  const book = bookOf("sent", "sent", "ready", "fetching");
  expect(book.forgetLeases().map(({ kind }) => kind)).toEqual(["skip", "dropped", "dropped"]);
  expect([book.size, book.leaseIds()]).toEqual([1, []]);
  expect(book.withdraw(1).kind).toBe("unknown"); // the id may be given anew by another coordinator
  expect(book.adopt(31, digestOf("operation 2"))).toBeUndefined();
  expect(book.adopt(31, digestOf("operation 1"))).toBe(book.running());
  expect(book.withdraw(31).kind).toBe("kill");
});

test("promised and held leases never exceed the window, and fill it unless the worker pauses", () => {
  fc.assert(
    fc.property(fc.nat(20), fc.nat(20), fc.nat(20), fc.boolean(), (window, outstanding, held, paused) => {
      const credit = creditToGrant({ window, outstanding, held, paused });
      const total = outstanding + held + credit;
      expect(credit).toBeGreaterThanOrEqual(0);
      if (paused) expect(credit).toBe(0);
      else expect(total).toBe(Math.max(window, outstanding + held));
    }),
  );
});
