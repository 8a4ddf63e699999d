import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, onTestFinished } from "vitest";
import type { WorkerOptions } from "../../worker/options.ts";
import { type ElibadProcess, elibadHere, startElibad } from "../support/command-line.ts";
import { FaultAgent } from "../support/fault-agent.ts";
import { freePorts } from "../support/free-ports.ts";
import { type MetricValues, readMetrics } from "../support/metric-values.ts";
import { startNatsServer, type TestNatsServer } from "../support/nats-server.ts";
import type { OnEnd } from "../support/on-end.ts";
import { descendantsOf, noOrphans, startWorkerProcess, type WorkerProcess } from "../support/processes.ts";
import { resultFiles } from "../support/result-files.ts";
import { calmSweep, type SmallSweep, writeSmallSweep } from "../support/small-sweep.ts";
import type { StoreKind } from "../support/store-places.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";
import { shortOrLong } from "./long-form.ts";

/** A coordinator's place: address and ports stay when its process is another one. */
interface Seat {
  readonly address: string;
  readonly metricsAddress: string;
  running: ElibadProcess | undefined;
}

export interface SweepSceneOptions {
  readonly store: StoreKind;
  readonly jobs: number;
  readonly workers: number;
  /** Beside the first one, for a store that knows standbys. */
  readonly standbys?: number;
  readonly jobsInFlight?: number;
  readonly epochs?: number;
  readonly coordinatorWords?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

interface CalmSweep {
  readonly sweep: SmallSweep;
  readonly files: ReadonlyMap<string, unknown>;
}

/** This file's sweeps, by number of jobs and steps, and what they give without faults. */
const calmSweeps = new Map<string, Promise<CalmSweep>>();
const fileEnds: (() => void | Promise<void>)[] = [];
afterAll(async () => {
  for (let end = fileEnds.pop(); end; end = fileEnds.pop()) await end();
});

function calmSweepOf(jobs: number, epochs: number): Promise<CalmSweep> {
  const onEnd: OnEnd = (end) => void fileEnds.push(end);
  const run = async () => {
    const sweep = await writeSmallSweep(jobs, { epochs, maxParallel: jobs, onEnd });
    return { sweep, ...(await calmSweep(sweep, onEnd)) };
  };
  const key = `${jobs}/${epochs}`;
  const known = calmSweeps.get(key) ?? run();
  calmSweeps.set(key, known);
  return known;
}

/**
 * A sweep on processes as users start them: `elibad coordinator --state`, workers whose inference children ask an agent, and NATS where the store is there.
 * Everything ends with the test.
 */
export class SweepScene {
  readonly agent: FaultAgent;
  readonly folder = tempFolder();
  readonly seats: readonly Seat[];
  readonly workers = new Map<string, WorkerProcess>();
  readonly #options: SweepSceneOptions;
  readonly #nats: TestNatsServer | undefined;
  readonly #cacheFolder = tempFolder();
  readonly #calm: CalmSweep;
  /** Every process that was started here, or by one of those. */
  readonly #pids = new Set<number>();
  /** What coordinators that are gone wrote. */
  #logOfGone = "";

  static async start(options: SweepSceneOptions): Promise<SweepScene> {
    const { jobs, workers, store, standbys = 0, epochs = 3 } = options;
    const calm = await calmSweepOf(jobs, epochs);
    const nats = store === "jetstream" ? await startNatsServer() : undefined;
    const agent = await FaultAgent.start(onTestFinished);
    const seats: Seat[] = [];
    for (let k = 0; k <= standbys; k++) {
      const [port, metricsPort] = (await freePorts(2)) as [number, number];
      seats.push({
        address: `127.0.0.1:${port}`,
        metricsAddress: `127.0.0.1:${metricsPort}`,
        running: undefined,
      });
    }
    const scene = new SweepScene(options, { calm, nats, agent, seats });
    for (let k = 0; k <= standbys; k++) await scene.startCoordinator(k);
    for (let k = 1; k <= workers; k++) scene.startWorker(`w${k}`);
    return scene;
  }

  private constructor(
    options: SweepSceneOptions,
    parts: {
      readonly calm: CalmSweep;
      readonly nats: TestNatsServer | undefined;
      readonly agent: FaultAgent;
      readonly seats: readonly Seat[];
    },
  ) {
    this.#options = options;
    this.#calm = parts.calm;
    this.agent = parts.agent;
    this.seats = parts.seats;
    this.#nats = parts.nats;
  }

  get sweep(): SmallSweep {
    return this.#calm.sweep;
  }

  get nats(): TestNatsServer {
    if (this.#nats === undefined) throw new Error("this scene has no NATS server");
    return this.#nats;
  }

  get addresses(): string {
    return this.seats.map(({ address }) => address).join(",");
  }

  /** The process of a coordinator. */
  coordinator(k = 0): ElibadProcess {
    const { running } = this.seats[k]!;
    if (running === undefined) throw new Error(`no coordinator ${k}`);
    return running;
  }

  /** Words of `elibad coordinator` for a seat. */
  wordsFor(k: number): string[] {
    const { address, metricsAddress } = this.seats[k]!;
    const { jobsInFlight = 4, coordinatorWords = [] } = this.#options;
    return [
      ...["coordinator", "--listen", address, "--insecure", "--state", join(this.folder, "state")],
      ...["--metrics-port", metricsAddress.split(":")[1]!, "--jobs-in-flight", String(jobsInFlight)],
      ...(this.#nats === undefined ? [] : ["--nats", this.#nats.url]),
      ...["--log-level", "debug", ...coordinatorWords],
    ];
  }

  /** Starts a coordinator on a seat; resolves when it leads, or stands by. */
  async startCoordinator(k = 0): Promise<ElibadProcess> {
    const seat = this.seats[k]!;
    if (seat.running !== undefined) this.#logOfGone += seat.running.stderr();
    const running = startElibad(this.wordsFor(k), this.#options.env);
    seat.running = running;
    this.#pids.add(running.process.pid!);
    const says = (words: string) => running.stderr().includes(words);
    await eventually(
      () => says("leading") || says("standing by") || running.process.exitCode !== null,
      "a coordinator that leads or stands by",
      120_000,
    );
    if (running.process.exitCode !== null) throw new Error(running.stderr());
    return running;
  }

  /** `kill -9` of a coordinator; resolves when it is gone. */
  async killCoordinator(k = 0): Promise<void> {
    const { process } = this.coordinator(k);
    process.kill("SIGKILL");
    await eventually(() => process.signalCode !== null || process.exitCode !== null, "the coordinator's end");
  }

  /** What coordinators wrote, those that are gone, too. */
  get log(): string {
    return this.#logOfGone + this.seats.map(({ running }) => running?.stderr() ?? "").join("");
  }

  startWorker(id: string, more: Partial<WorkerOptions> = {}): WorkerProcess {
    const worker = startWorkerProcess({
      protection: "plain",
      coordinators: this.seats.map(({ address }) => address),
      id,
      threads: 1,
      cacheFolder: this.#cacheFolder,
      ...this.agent.optionsFor(id),
      ...more,
    });
    this.workers.set(id, worker);
    this.#pids.add(worker.pid);
    return worker;
  }

  async submit(): Promise<void> {
    const run = await elibadHere(
      "sweep",
      "submit",
      this.sweep.file,
      "--coordinator",
      this.addresses,
      "--insecure",
    );
    // A coordinator that has just been started may not lead yet; then it says that it asks again.
    const said = run.stderr.replace(/^--coordinator .*; asking again for up to \d+ s\n/m, "");
    expect([said, run.code]).toEqual(["", 0]);
  }

  /** The jobs as `elibad sweep list` has them. */
  async jobs(): Promise<
    readonly { readonly name: string; readonly phase: string; readonly reason: string }[]
  > {
    const words = ["sweep", "list", this.sweep.name, "--json", "--coordinator", this.addresses, "--insecure"];
    const { code, stdout, stderr } = await elibadHere(...words);
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  }

  /** Committed steps that the log speaks of, of all jobs, each counted as often as it was made. */
  get committedSteps(): number {
    return this.log.split("a step was committed").length - 1;
  }

  /** Whether every job has its results, or failed, as far as can be seen from outside. */
  get isOver(): boolean {
    const { log } = this;
    return this.sweep.jobs.every(
      (job) =>
        existsSync(join(this.#results, job)) || new RegExp(`the job was failed .*job=${job}\\b`).test(log),
    );
  }

  /** Waits until all jobs have their results, or failed. */
  async over(withinMs = shortOrLong(120_000, 900_000)): Promise<void> {
    await eventually(() => this.isOver, "the end of the sweep", withinMs);
    const live = async () => (await this.jobs()).filter(({ phase }) => !/^(done|failed)$/.test(phase));
    await expect.poll(live, { timeout: 60_000, interval: 200 }).toEqual([]);
  }

  /** Every job is done, and its files are those of a run without cluster and faults, to the last bit. */
  async expectCalm({ except = [] }: { readonly except?: readonly string[] } = {}): Promise<void> {
    const jobs = (await this.jobs()).filter(({ name }) => !except.includes(name));
    expect(jobs.filter(({ phase }) => phase !== "done")).toEqual([]);
    for (const { name } of jobs) {
      expect({ [name]: resultFiles(join(this.#results, name)) }).toEqual({
        [name]: this.#calm.files.get(name),
      });
      expect(existsSync(join(this.#results, `${name}.partial`))).toBe(false);
    }
    expect(jobs).toHaveLength(this.sweep.jobs.length - except.length);
  }

  /** Metrics of the coordinator that runs now. */
  metrics(k = 0): Promise<MetricValues> {
    return readMetrics(this.seats[k]!.metricsAddress);
  }

  /** Ends everything in order, and looks whether a process is left. */
  async end(): Promise<void> {
    for (const { running } of this.seats) if (running) this.#note(running.process.pid!);
    for (const { pid } of this.workers.values()) this.#note(pid);
    for (const { process } of this.workers.values()) process.kill("SIGTERM");
    await Promise.all([...this.workers.values()].map((worker) => worker.exit()));
    for (const { running } of this.seats) running?.process.kill("SIGTERM");
    await noOrphans([...this.#pids]);
  }

  #note(pid: number): void {
    this.#pids.add(pid);
    try {
      for (const each of descendantsOf(pid)) this.#pids.add(each);
    } catch {
      // It is gone.
    }
  }

  get #results(): string {
    return join(this.folder, "state", "results", this.sweep.name);
  }
}
