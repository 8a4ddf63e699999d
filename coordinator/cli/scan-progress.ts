import type { ScanProgress } from "../search/scan-result.ts";
import type { ClusterContext, SearchMeter } from "./command.ts";

/** What listens to a scan: the bar on the terminal, and the coordinator's metrics. */
export interface ScanListener {
  observe(progress: ScanProgress): void;
  /** The scan is over, however it ended. */
  close(): void;
}

/** Counts searches that run, the seconds of their steps, and the forwards that these did and pruned, for the coordinator's metrics. */
export function countSearches(meter: SearchMeter): ScanListener {
  const running = new Map<number, { step: number; since: number; done: number; pruned: number }>();
  return {
    observe({ search, phase, step = 0, forwardsDone: done = 0, forwardsPruned: pruned = 0 }) {
      const now = performance.now();
      const known = running.get(search);
      if (known === undefined) {
        if (phase !== "search") return;
        meter.searchStarted();
        // The first word of a search comes after its first round, whose forwards its first step settles.
        running.set(search, { step, since: now, done: 0, pruned: 0 });
      } else if (phase === "done") {
        meter.searchEnded();
        running.delete(search);
      } else if (step > known.step) {
        meter.stepDone((now - known.since) / 1000 / (step - known.step));
        meter.forwardsSettled({ done: done - known.done, pruned: pruned - known.pruned });
        running.set(search, { step, since: now, done, pruned });
      }
    },
    // Searches that an error or an interruption ended.
    close() {
      for (const _ of running) meter.searchEnded();
      running.clear();
    },
  };
}

/** One bar for all searches: steps done of all, the best loss and trigger of the search that moved, the share pruned, forwards per second. */
function showProgress(
  display: ClusterContext["display"],
  epochs: number,
  textOf: (ids: readonly number[]) => string,
): (progress: ScanProgress) => void {
  const steps = new Map<number, number>();
  const forwards = new Map<number, number>();
  const pruned = new Map<number, number>();
  const started = performance.now();
  const total = (values: Map<number, number>): number =>
    [...values.values()].reduce((sum, value) => sum + value, 0);
  return (progress) => {
    const { search, searches, phase, best, victim, target } = progress;
    if (progress.step !== undefined) steps.set(search, progress.step);
    if (phase === "done") steps.set(search, epochs);
    if (progress.forwardsDone !== undefined) forwards.set(search, progress.forwardsDone);
    if (progress.forwardsPruned !== undefined) pruned.set(search, progress.forwardsPruned);
    const [run, saved] = [total(forwards), total(pruned)];
    const seconds = (performance.now() - started) / 1000;
    display.progress({
      phase: searches > 1 ? `scan, ${searches} searches` : "scan",
      done: total(steps),
      total: epochs * searches,
      unit: "step",
      fields: {
        ...(victim === undefined ? { half: progress.half } : { direction: `${victim}→${target}` }),
        ...(phase === "search" || phase === "done" ? {} : { doing: phase }),
        ...(best ? { "best loss": best.loss, trigger: textOf(best.trigger) } : {}),
        ...(best?.target?.length ? { target: textOf(best.target) } : {}),
        ...(saved > 0 ? { pruned: `${Math.round((100 * saved) / (run + saved))} %` } : {}),
        "forwards/s": Math.round(run / Math.max(seconds, 1e-3)),
      },
    });
  };
}

/** Shows a scan to the user and counts it. */
export function scanListener(
  { display, meter }: Pick<ClusterContext, "display" | "meter">,
  { epochs, textOf }: { readonly epochs: number; readonly textOf: (ids: readonly number[]) => string },
): ScanListener {
  const counted = countSearches(meter);
  const show = showProgress(display, epochs, textOf);
  return {
    observe(progress) {
      counted.observe(progress);
      show(progress);
    },
    close: () => counted.close(),
  };
}
