/** Users, who submit, cancel and retry, and ask again until they have an answer. */
import type { SweepBook } from "../../coordinator/sweep/book.ts";
import { IllegalRecordError } from "../../coordinator/sweep/fold.ts";
import { findJob } from "../../coordinator/sweep/sweep.ts";
import type { Plan, UserAct } from "./plan.ts";
import type { VirtualCoordinator } from "./virtual-coordinator.ts";
import type { World } from "./world.ts";

/** How long a user waits for an answer. */
const PATIENCE_MS = 500;

export class Users {
  /** Sweeps whose submission was acknowledged. */
  readonly acknowledged = new Set<string>();
  /** Acts that have no answer yet. */
  waiting = 0;
  readonly #world: World;
  readonly #begun = new Set<Plan["actsAt"][number]>();

  constructor(world: World) {
    this.#world = world;
  }

  act(act: UserAct): void {
    const { calendar } = this.#world;
    this.waiting++;
    let isDone = false;
    const attempt = (): void => {
      if (isDone) return;
      calendar.after(PATIENCE_MS, attempt);
      // It may be one that was replaced, and does not know.
      const leader = this.#world.believers.at(-1);
      leader?.process.after(2, () => {
        void this.#ask(leader, act).then((isAnswered) => {
          if (!isAnswered || isDone) return;
          isDone = true;
          this.waiting--;
          if (act.kind === "submit") this.acknowledged.add(act.spec.name);
          this.#world.bookChanged();
        });
      });
    };
    calendar.at(act.at, attempt);
  }

  /** What is planned for when a job comes into a phase. */
  look(): void {
    const { plan, leader, calendar } = this.#world;
    const sweeps = leader?.book?.state.sweeps ?? [];
    for (const planned of plan.actsAt) {
      const { act, phase, afterMs } = planned;
      if (act.kind === "submit" || this.#begun.has(planned)) continue;
      const jobs = sweeps.find(({ spec }) => spec.name === act.sweep)?.jobs ?? [];
      const reached = jobs.find(({ state }) => state.phase === phase);
      if (!reached) continue;
      this.#begun.add(planned);
      const at = calendar.now + afterMs;
      this.act(act.kind === "take back" ? { ...act, at, job: reached.name } : { ...act, at });
    }
  }

  /** False where there is no answer. */
  async #ask({ book }: VirtualCoordinator, act: UserAct): Promise<boolean> {
    try {
      if (act.kind === "submit") await book!.submit(act.spec);
      if (act.kind === "cancel") await book!.cancel(act.sweep);
      if (act.kind === "retry") await book!.retry(act.sweep, { fresh: act.fresh });
      if (act.kind === "take back") await takeBack(book!, act);
      return true;
    } catch (error) {
      // A sweep may not be submitted yet; a job may be over that was to be taken back.
      return error instanceof IllegalRecordError && act.kind === "take back";
    }
  }
}

async function takeBack(
  book: SweepBook,
  { sweep, job }: Extract<UserAct, { kind: "take back" }>,
): Promise<void> {
  if (job === undefined) return;
  const { state, searches: found } = findJob(book.state, { sweep, job })!;
  const reason = "an audit";
  if (state.phase === "done") return book.move({ sweep, job }, { kind: "doubted", reason });
  const searches = found.map(({ search }) => ({ search, step: 1 }));
  if (searches.length === 0 && state.phase !== "queued") return;
  await book.move({ sweep, job }, { kind: "taken-back", reason, searches });
}
