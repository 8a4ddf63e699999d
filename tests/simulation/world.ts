/** One run: everything that a seed stands for, from the first submission until nothing is left. */
import { isLive } from "../../coordinator/sweep/job-state.ts";
import { findSweep, jobOptions } from "../../coordinator/sweep/sweep.ts";
import { type CalmRun, calmRun } from "./calm-run.ts";
import { CommitLedger } from "./commit-ledger.ts";
import { FAULTS } from "./faults.ts";
import * as invariants from "./invariants.ts";
import { type Plan, type PlannedWorker, planOf, SALTS } from "./plan.ts";
import type { Planted } from "./planted.ts";
import { Random } from "./random.ts";
import { scriptOf } from "./scripted-job.ts";
import { SETTINGS } from "./settings.ts";
import { Users } from "./users.ts";
import { VirtualBroker } from "./virtual-broker.ts";
import { VirtualCoordinator } from "./virtual-coordinator.ts";
import { VirtualNetwork } from "./virtual-network.ts";
import { VirtualStore } from "./virtual-store.ts";
import { Calendar } from "./virtual-time.ts";
import { VirtualWorker } from "./virtual-worker.ts";

export interface RunOutcome {
  readonly seed: number;
  /** What happened, in order. */
  readonly events: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
  /** Virtual milliseconds. */
  readonly tookMs: number;
  /** Things that happened. */
  readonly steps: number;
  readonly violation?: Error;
}

export class World {
  readonly settings = SETTINGS;
  readonly calendar = new Calendar();
  readonly plan: Plan;
  readonly planted: Planted;
  readonly store: VirtualStore;
  readonly broker: VirtualBroker;
  readonly network: VirtualNetwork;
  wallOffsetMs = 0;
  readonly #random: Random;
  readonly #users: Users;
  readonly #ledger: CommitLedger;
  readonly #calm = new Map<string, CalmRun>();
  readonly #events: string[] = [];
  readonly #counts = new Map<string, number>();
  #coordinators: VirtualCoordinator[] = [];
  #workers: VirtualWorker[] = [];
  #births = 0;
  #steps = 0;
  #hasChanged = true;
  #problem: Error | undefined;

  constructor(seed: number, planted: Planted) {
    this.#random = new Random(seed);
    const plan = planOf(this.#random.branch("plan"));
    this.plan = planted.plan?.(plan) ?? plan;
    this.planted = planted;
    this.#users = new Users(this);
    this.network = new VirtualNetwork(this, this.#random.branch("network"));
    this.#ledger = new CommitLedger({
      limit: this.plan.limit,
      calmRun: (sweep, job, deviceClass) => this.#calm.get(calmKey(sweep, job, deviceClass))!,
      liars: this.liars,
      onTransition: (from, event) => this.count(`job ${from} ${event}`),
      onWorkersLost: () => this.count("operation given up for lost workers"),
    });
    this.store = new VirtualStore({
      kind: this.plan.store,
      calendar: this.calendar,
      random: this.#random.branch("store"),
      leaseMs: SETTINGS.leaderLeaseMs,
      fences: planted.fences ?? true,
      onFault: (name) => this.count(`fault: ${name}`),
      onWrite: (written) => {
        this.note(`log ${written.term} ${written.first}+${written.values.length}`);
        this.guarded(() => this.#ledger.take(written));
      },
    });
    this.broker = new VirtualBroker({
      calendar: this.calendar,
      random: this.#random.branch("broker"),
      consumer: () => this.leader?.consumer,
      onFault: (name) => this.count(`fault: ${name}`),
    });
  }

  async run(): Promise<void> {
    await this.#prepare();
    for (let k = 0; k < this.plan.coordinators; k++) this.#startCoordinator(`c${k}`);
    for (const planned of this.plan.workers) this.#startWorker(planned.id, planned);
    for (const act of this.plan.acts) this.#users.act(act);
    const faults = this.#random.branch("faults at work");
    for (const { at, name } of this.plan.faults)
      this.calendar.at(at, () => {
        if (!FAULTS[name](this, faults)) return;
        this.count(`fault: ${name}`);
        this.note(`fault: ${name}`);
      });
    this.calendar.at(this.plan.calmFrom, () => this.#calmDown());
    while (!this.#isFinished()) await this.#step(this.plan.calmFrom + SETTINGS.limitMs);
    this.#judgeEnd();
    await this.#windDown();
  }

  get outcome(): Pick<RunOutcome, "events" | "counts" | "tookMs" | "steps"> {
    return { events: this.#events, counts: this.#counts, tookMs: this.calendar.now, steps: this.#steps };
  }

  get coordinators(): readonly VirtualCoordinator[] {
    return this.#coordinators;
  }

  get workers(): readonly VirtualWorker[] {
    return this.#workers;
  }

  /** Who leads: of those that believe it, the one of the highest term. */
  get leader(): VirtualCoordinator | undefined {
    return this.believers.reduce<VirtualCoordinator | undefined>(
      (best, each) => (best && best.term > each.term ? best : each),
      undefined,
    );
  }

  /** Who believes to lead. */
  get believers(): readonly VirtualCoordinator[] {
    return this.#coordinators.filter(({ isLeading }) => isLeading);
  }

  /** Milliseconds since 1970, as machines believe. */
  wallMs(): number {
    return 1_700_000_000_000 + this.calendar.now + this.wallOffsetMs;
  }

  readonly count = (name: string): void => {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  };

  readonly note = (event: string): void => {
    this.#events.push(`${Math.round(this.calendar.now)} ${event}`);
  };

  /** For invariants that are looked at inside of the product's code, which must not see them fail: the run ends after this step. */
  readonly guarded = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      this.#problem ??= error as Error;
    }
  };

  /** Workers that have given a wrong answer, by their ids. */
  readonly liars = new Set<string>();

  lied(workerId: string): void {
    this.count("wrong answers");
    this.liars.add(workerId);
  }

  bookChanged(): void {
    this.#hasChanged = true;
    this.#users.look();
  }

  async #prepare(): Promise<void> {
    for (const act of this.plan.acts) {
      if (act.kind !== "submit") continue;
      for (const job of act.spec.jobs)
        for (const [hardware, salt] of Object.entries(SALTS)) {
          const key = calmKey(act.spec.name, job.name, `cpu/1/${hardware}`);
          this.#calm.set(key, await calmRun(scriptOf(jobOptions(act.spec, job)), salt));
        }
    }
  }

  #startCoordinator(name: string): void {
    const random = this.#random.branch(`coordinator ${++this.#births}`);
    const coordinator = new VirtualCoordinator(this, name, random);
    this.#coordinators = [...this.#coordinators.filter((each) => each.name !== name), coordinator];
    coordinator.process.onDeath(() => {
      this.note(`${name} is gone`);
      this.#hasChanged = true;
      this.calendar.after(random.int(100, 1_200), () => this.#startCoordinator(name));
    });
  }

  #startWorker(id: string, planned: PlannedWorker): void {
    const random = this.#random.branch(`worker ${++this.#births}`);
    const worker = new VirtualWorker(this, id, planned, random);
    this.#workers.push(worker);
    worker.process.onDeath(() => {
      this.note(`${id} is gone`);
      this.#workers = this.#workers.filter((each) => each !== worker);
      // It comes back under its name, or another one comes.
      const next = random.chance(0.5) && !this.liars.has(id) ? id : `w${++this.#births}`;
      this.calendar.after(random.int(100, 2_000), () => this.#startWorker(next, planned));
    });
  }

  async #step(until: number): Promise<void> {
    if (!(await this.calendar.step(until))) {
      this.#judgeEnd();
      throw new invariants.Violation("noLostJob", "the run came to no end");
    }
    if (++this.#steps > SETTINGS.mostSteps)
      throw new invariants.Violation("noLostJob", "the run goes round in circles");
    this.#check();
  }

  #calmDown(): void {
    this.note("calm");
    this.network.fates.length = 0;
    this.store.faults.length = 0;
    this.store.fullUntil = this.store.awayUntil = this.broker.downUntil = 0;
    this.broker.duplicates = this.broker.lostAcks = 0;
    for (const worker of this.#workers) {
      worker.mishaps.length = 0;
      worker.isLiar = false;
    }
    this.calendar.after(SETTINGS.retryMs, () => this.#retryFailed());
  }

  #retryFailed(): void {
    for (const { spec, jobs } of this.leader?.book?.state.sweeps ?? []) {
      const isToRetry = jobs.some(
        ({ state, name }) => state.phase === "failed" && !this.#mayFail(spec.name, name),
      );
      if (isToRetry)
        this.#users.act({ kind: "retry", at: this.calendar.now, sweep: spec.name, fresh: false });
    }
  }

  /** Whether one of its operations kills every child. */
  #mayFail(sweep: string, name: string): boolean {
    for (const act of this.plan.acts) {
      if (act.kind !== "submit" || act.spec.name !== sweep) continue;
      const job = act.spec.jobs.find((each) => each.name === name)!;
      return scriptOf(jobOptions(act.spec, job)).poison !== undefined;
    }
    return false;
  }

  /** Looks only where something changed. */
  #isFinished(): boolean {
    if (!this.#hasChanged || this.calendar.now < this.plan.calmFrom || this.#users.waiting > 0) return false;
    this.#hasChanged = false;
    const sweeps = this.leader?.book?.state.sweeps;
    return (
      sweeps?.every(({ spec, jobs }) =>
        jobs.every(({ state, name }) =>
          state.phase === "failed" ? this.#mayFail(spec.name, name) : !isLive(state),
        ),
      ) === true
    );
  }

  #check(): void {
    if (this.#problem) throw this.#problem;
    const { now } = this.calendar;
    const calmSince = this.plan.calmFrom + SETTINGS.recoveryMs;
    for (const { dispatcher, process, sessions } of this.#coordinators) {
      if (!dispatcher || !process.isAlive) continue;
      const { state } = dispatcher;
      invariants.everyOperationIsSomewhere(state);
      invariants.noLeaseLeak(state, (session) => sessions.get(session)?.serverKnows !== true);
      if (now < calmSince || !this.plan.waitsAreBounded) continue;
      for (const { leases, waitingSinceMs, key } of state.operations.values())
        if (leases.size === 0 && !state.checks.has(key))
          invariants.boundedWait(now - Math.max(waitingSinceMs, calmSince), SETTINGS.longestWaitMs, key);
    }
  }

  #judgeEnd(): void {
    const state = this.leader?.book?.state;
    if (state === undefined) throw new invariants.Violation("noLostJob", "nobody leads");
    this.#ledger.judgeEnd();
    invariants.acknowledgedIsDurable(state, this.#users.acknowledged);
    for (const act of this.plan.acts)
      if (act.kind === "submit" && !findSweep(state, act.spec.name))
        throw new invariants.Violation("noLostJob", `sweep ${act.spec.name} was never taken`);
    invariants.noLostJob(
      state.sweeps.flatMap(({ spec, jobs }) =>
        jobs.map((job) => ({
          id: `${spec.name}/${job.name}`,
          state: job.state,
          mayFail: this.#mayFail(spec.name, job.name),
          mayBeCancelled: this.plan.cancelled.has(spec.name),
        })),
      ),
    );
  }

  /** What ran when the last job ended is let run out; then nothing may be left. */
  async #windDown(): Promise<void> {
    const until = this.calendar.now + SETTINGS.windDownMs;
    const left = (): Record<string, number> => {
      const state = this.leader?.dispatcher?.state;
      return {
        leases: state?.leases.size ?? 1,
        operations: state?.operations.size ?? 1,
        "waiting lines": state?.lanes.size ?? 1,
        scopes: state?.scopes.size ?? 1,
        checks: state?.checks.size ?? 1,
        fingerprints: state?.keysOf.size ?? 1,
        "results in outboxes": this.#workers.reduce((sum, { unaccepted }) => sum + unaccepted, 0),
      };
    };
    while (Object.values(left()).some((count) => count > 0) && (await this.calendar.step(until)))
      this.#check();
    invariants.nothingLeft(left());
  }
}

const calmKey = (sweep: string, job: string, deviceClass: string | undefined): string =>
  `${sweep}/${job} ${deviceClass?.split("/").slice(0, 3).join("/")}`;

/** Runs what a seed stands for. Nothing is thrown: what went wrong is in the outcome. */
export async function runSeed(seed: number, planted: Planted = {}): Promise<RunOutcome> {
  const world = new World(seed, planted);
  try {
    await world.run();
    return { seed, ...world.outcome };
  } catch (error) {
    return { seed, ...world.outcome, violation: error as Error };
  }
}
