import type { JobRowMessage, SweepChangeMessage, SweepRowMessage } from "../../proto/sweep-messages.ts";
import type { CommandContext } from "./command.ts";
import { EXIT } from "./errors.ts";
import { type LeaderCalls, RemoteFailure } from "./leader-calls.ts";
import { LiveLines } from "./live-lines.ts";
import { countText, isOver, stateText, sweepLine } from "./show-sweep.ts";
import { eachOf } from "./sweep-client.ts";
import { table } from "./table.ts";

/** Steps of one job are told at most so often where there is no terminal. */
const STEPS_EVERY_MS = 5_000;

/** Told how a sweep is, whenever something of it changes. */
interface Watcher {
  changed(
    sweep: SweepRowMessage,
    jobs: ReadonlyMap<string, JobRowMessage>,
    now: readonly JobRowMessage[],
  ): void;
  /** Says something else in between; absent: there is no place for it of its own. */
  line?(text: string): void;
}

/**
 * Follows a sweep until all of its jobs are over, whoever leads meanwhile.
 *
 * @throws RemoteFailure with exit code 1 where jobs failed or were cancelled
 */
export async function watchUntilOver(
  calls: LeaderCalls,
  name: string,
  { json, context }: { readonly json: boolean; readonly context: CommandContext },
): Promise<void> {
  const { signal } = context;
  const watcher = json ? jsonWatcher() : process.stderr.isTTY ? liveWatcher() : lineWatcher(context);
  if (watcher.line) calls.onWaiting = watcher.line;
  let last: SweepRowMessage | undefined;
  while (last === undefined || !isOver(last)) {
    await calls.with(async (client) => {
      const jobs = new Map<string, JobRowMessage>();
      await eachOf(client.watchSweep({ sweep: name, once: false }), signal, (change: SweepChangeMessage) => {
        for (const job of change.jobs) jobs.set(job.name, job);
        last = change.sweep;
        if (change.isCurrent || json) watcher.changed(change.sweep, jobs, change.jobs);
      });
    });
  }
  const { failed, cancelled } = last.phases;
  if (failed + cancelled === 0) return;
  const what = [failed > 0 ? `${failed} failed` : "", cancelled > 0 ? `${cancelled} cancelled` : ""];
  throw new RemoteFailure(
    `${name}: ${what.filter(Boolean).join(", ")} of ${countText(last.jobs, "job")} (elibad sweep list ${name} says why)`,
    EXIT.failed,
  );
}

/** The sweep, and its jobs that are worked on, on a terminal. */
function liveWatcher(): Watcher {
  const live = new LiveLines(process.stderr);
  return {
    line: (text) => live.write(text),
    changed(sweep, jobs, now) {
      for (const job of now) if (job.phase === "failed") live.write(`${job.name} ${stateText(job)}`);
      const active = [...jobs.values()].filter(({ phase }) => ACTIVE.has(phase));
      const rows = active.map((job) => [` ${job.name}`, stateText(job), progressText(job)]);
      live.draw([sweepLine(sweep), ...(rows.length === 0 ? [] : table(rows).split("\n"))]);
    },
  };
}

/** A line for each job that moves, and now and then one for its steps. */
function lineWatcher({ display }: Pick<CommandContext, "display">): Watcher {
  const told = new Map<string, { readonly state: string; readonly atMs: number }>();
  let summary = "";
  return {
    changed(sweep, _, now) {
      for (const job of now) {
        const state = stateText(job);
        const known = told.get(job.name);
        const nowMs = performance.now();
        const isNew = known?.state !== state;
        // A queue is told by its length.
        if (isNew ? job.phase === "queued" && job.attempt === 1 : nowMs - known.atMs < STEPS_EVERY_MS)
          continue;
        told.set(job.name, { state, atMs: nowMs });
        const progress = ACTIVE.has(job.phase) ? progressText(job) : "";
        display.line(`${sweep.name}/${job.name} ${state}${progress === "" ? "" : `, ${progress}`}`);
      }
      const line = sweepLine(sweep);
      if (line !== summary) display.line(line);
      summary = line;
    },
  };
}

/** Each message as a line of JSON on stdout. */
const jsonWatcher = (): Watcher => ({
  changed: (sweep, _, jobs) => void process.stdout.write(`${JSON.stringify({ sweep, jobs })}\n`),
});

const ACTIVE: ReadonlySet<string> = new Set(["scanning", "unlearning", "evaluating"]);

/** `31 steps, best loss 0.1115`. */
const progressText = ({ steps, best }: JobRowMessage): string =>
  [steps === 0 ? "" : countText(steps, "step"), best === null ? "" : `best loss ${best.loss.toFixed(4)}`]
    .filter(Boolean)
    .join(", ");
