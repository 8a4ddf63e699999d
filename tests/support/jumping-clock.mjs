// A wall clock that jumps: `node --import .../jumping-clock.mjs` with the seconds that it is off ("+3600", "-86400") in the file that
// ELIBAD_TEST_CLOCK names. Only `Date` is off, which is all that a Node program knows of the time of day; monotonic time goes on as it is.
import { readFileSync } from "node:fs";

const file = process.env.ELIBAD_TEST_CLOCK;
const LOOK_EVERY_MS = 20;

let [offMs, lookAt] = [0, 0];
function offset() {
  if (performance.now() < lookAt) return offMs;
  lookAt = performance.now() + LOOK_EVERY_MS;
  try {
    offMs = 1_000 * Number(readFileSync(file, "utf8"));
  } catch {
    // Not written yet.
  }
  return offMs;
}

const RealDate = Date;
globalThis.Date = class JumpingDate extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [JumpingDate.now()] : given));
  }
  static now() {
    return RealDate.now() + offset();
  }
};
