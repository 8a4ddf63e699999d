import type { Logger } from "pino";
import type { Display } from "./progress.ts";

/** What a job would show on a terminal, as lines of the log. Its progress is in the sweeps' log. */
export const logDisplay = (logger: Pick<Logger, "info">): Display => ({
  progress() {},
  line: (text) => logger.info(text),
  close() {},
});
