import fc from "fast-check";
import { expect, test } from "vitest";
import { endOf } from "../../../coordinator/search/search-end.ts";

const asked = { epochs: 100, patience: 10, targetLoss: 0.5 };

test("a search ends at the target loss, and not a step before", () => {
  expect(endOf({ step: 7, best: { step: 6, loss: 0.5 } }, asked)).toBe("target_loss");
  expect(endOf({ step: 7, best: { step: 6, loss: 0.51 } }, asked)).toBeNull();
});

test("a search ends when as many steps as its patience followed the best one", () => {
  // The best step is 4; 5 … 14 are ten steps without a lower loss.
  expect(endOf({ step: 14, best: { step: 4, loss: 2 } }, asked)).toBeNull();
  expect(endOf({ step: 15, best: { step: 4, loss: 2 } }, asked)).toBe("patience");
});

test("0 turns either off", () => {
  const never = { epochs: 100, patience: 0, targetLoss: 0 };
  expect(endOf({ step: 99, best: { step: 0, loss: 0 } }, never)).toBeNull();
  expect(endOf({ step: 100, best: { step: 0, loss: 0 } }, never)).toBe("epochs");
});

test("a replayed search makes every step of its trace, whatever the loss", () => {
  const low = { step: 3, best: { step: 0, loss: 0 } };
  expect(endOf(low, { ...asked, patience: 1 }, 4)).toBeNull();
  expect(endOf({ ...low, step: 4 }, asked, 4)).toBe("replayed");
  expect(endOf(low, { ...asked, epochs: 3 }, 4)).toBe("epochs");
});

test("a search that improves at every step, and never enough, makes all its steps", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 50 }), (epochs, patience) => {
      let step = 0;
      while (
        endOf(
          { step, best: step === 0 ? null : { step: step - 1, loss: 1 } },
          { ...asked, epochs, patience },
        ) === null
      )
        step++;
      expect(step).toBe(epochs);
    }),
  );
});
