import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "nats";
import { afterAll, beforeAll, expect, vi } from "vitest";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import type { Protection } from "../../proto/client.ts";
import { RESULT_STREAM, resultSubject } from "../../proto/subjects.ts";
import { Certificates } from "../../proto/tls/certificates.ts";
import type { WorkerOptions } from "../../worker/options.ts";
import { programVersion } from "../../worker/program-version.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { type TestAuthority, testAuthority } from "../support/certificates.ts";
import { type Asked, FaultAgent, type Held } from "../support/fault-agent.ts";
import { grown, type MetricValues, metricValues } from "../support/metric-values.ts";
import { startNatsServer, type TestNatsServer } from "../support/nats-server.ts";
import type { OnEnd } from "../support/on-end.ts";
import { descendantsOf, noOrphans, startWorkerProcess, type WorkerProcess } from "../support/processes.ts";
import { randomModel } from "../support/random-model.ts";
import { SMALL_SCAN_STEPS, smallScan, stepsOf } from "../support/small-scan.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";
import { expectBalanced } from "./cost.ts";
import { CLUSTER_TIMEOUT_MS, shortOrLong } from "./long-form.ts";

/** Leases of the short form end within seconds; those of the long form are the product's. */
const LEASES = shortOrLong({ leaseMs: 1_500, heartbeatMs: 300 }, {});

const COORDINATOR = "faults";

/** A scan that runs while something goes wrong. */
export interface FaultyScan {
  /** The lines of its trace, once it is over. */
  readonly trace: Promise<readonly string[]>;
  /** Steps that are over. */
  readonly steps: number;
}

export interface ScanSceneOptions {
  /** Everybody has certificates. */
  readonly tls?: boolean;
  readonly workers: number;
  /** Results come through NATS. */
  readonly nats?: boolean;
  /** What a slow worker does is done by an idle one, too. Absent: a step waits for whoever holds one of its leases, so that a fault finds it there. */
  readonly speculates?: boolean;
  /** The server is reached through a proxy, by all. */
  readonly natsThroughProxy?: boolean;
  readonly workerOptions?: Partial<WorkerOptions>;
  readonly workerEnv?: Readonly<Record<string, string>>;
}

/**
 * A coordinator in this process, real workers whose inference children ask an agent, and the same small scan over and over: each test runs it with its
 * fault, and compares its trace with that of a scan without any. Processes live as long as the file's tests.
 */
export class ScanScene {
  readonly #options: ScanSceneOptions;
  readonly #ends: (() => void | Promise<void>)[] = [];
  readonly #workers = new Map<string, WorkerProcess>();
  /** Every process that was started here, or by one of those. */
  readonly #pids = new Set<number>();
  #expected: readonly string[] = [];
  #model = "";
  #cacheFolder = "";
  coordinator!: Coordinator;
  agent!: FaultAgent;
  #authority: TestAuthority | undefined;
  #nats: TestNatsServer | undefined;
  #natsProxy: TcpProxy | undefined;

  /** For the tests of a file. */
  static forFile(options: ScanSceneOptions): ScanScene {
    const scene = new ScanScene(options);
    vi.setConfig({ testTimeout: CLUSTER_TIMEOUT_MS });
    beforeAll(() => scene.#open(), CLUSTER_TIMEOUT_MS);
    afterAll(() => scene.#close(), CLUSTER_TIMEOUT_MS);
    return scene;
  }

  private constructor(options: ScanSceneOptions) {
    this.#options = options;
  }

  get nats(): TestNatsServer {
    if (this.#nats === undefined) throw new Error("this scene has no NATS server");
    return this.#nats;
  }

  /** Whose certificates everybody has. */
  get authority(): TestAuthority {
    if (this.#authority === undefined) throw new Error("this scene has no certificates");
    return this.#authority;
  }

  get natsProxy(): TcpProxy {
    if (this.#natsProxy === undefined) throw new Error("this scene's NATS server has no proxy");
    return this.#natsProxy;
  }

  /** Where a worker publishes its results. */
  subjectOf(worker: string): string {
    return resultSubject(COORDINATOR, worker);
  }

  /** Waits until every worker sends its results through NATS. */
  async natsIsUsed(): Promise<void> {
    const uses = (worker: WorkerProcess): boolean => {
      const said = worker.log().match(/results go through NATS|NATS is back|NATS is away/g);
      return said !== null && said.at(-1) !== "NATS is away";
    };
    const used = () => [...this.#workers.values()].every(uses);
    await eventually(used, "a connection of each worker to NATS", 30_000);
    // A server that lost its store is connected before the coordinator has made the stream anew.
    const connection = await connect({ servers: this.nats.url });
    try {
      const { streams } = await connection.jetstreamManager();
      while (!(await streams.info(RESULT_STREAM).catch(() => undefined))) await pause(50);
    } finally {
      await connection.close();
    }
  }

  /** Waits until the coordinator has taken every result out of NATS. */
  async natsIsEmpty(): Promise<void> {
    const connection = await connect({ servers: this.nats.url });
    try {
      const { streams } = await connection.jetstreamManager();
      while ((await streams.info(RESULT_STREAM)).state.messages > 0) await pause(20);
    } finally {
      await connection.close();
    }
  }

  worker(id: string): WorkerProcess {
    const worker = this.#workers.get(id);
    if (worker === undefined) throw new Error(`no worker ${id}`);
    return worker;
  }

  /** Starts a worker, in the place of one of the same name that is gone. */
  startWorker(
    id: string,
    more: Partial<WorkerOptions> = {},
    place: Pick<NonNullable<Parameters<typeof startWorkerProcess>[1]>, "env" | "disk"> = {},
  ): WorkerProcess {
    const options: WorkerOptions = {
      protection: this.#authority?.paths("worker") ?? "plain",
      coordinators: [this.coordinator.address],
      id,
      threads: 1,
      cacheFolder: this.#cacheFolder,
      ...this.agent.optionsFor(id),
      ...this.#options.workerOptions,
      ...more,
    };
    const worker = startWorkerProcess(options, {
      onEnd: this.#onEnd,
      ...place,
      env: { ...this.#options.workerEnv, ...place.env },
    });
    this.#workers.set(id, worker);
    this.#pids.add(worker.pid);
    return worker;
  }

  /** The same, with a proxy between the worker and the coordinator, which lasts as long as the file's tests. */
  async startWorkerBehindProxy(id: string, more: Partial<WorkerOptions> = {}): Promise<TcpProxy> {
    const [host, port] = this.coordinator.address.split(":") as [string, string];
    const proxy = await startTcpProxy({ host, port: Number(port) }, this.#onEnd);
    this.startWorker(id, { coordinators: [`127.0.0.1:${proxy.port}`], ...more });
    return proxy;
  }

  /** Stops a worker for good. */
  async endWorker(id: string): Promise<void> {
    const worker = this.worker(id);
    worker.process.kill("SIGTERM");
    await worker.exit();
    this.#workers.delete(id);
  }

  /** Waits until these workers, and no others, are connected. */
  async connected(...ids: readonly string[]): Promise<void> {
    // With certificates a coordinator puts a proof behind the name that a worker asks for.
    const there = () =>
      this.coordinator.workers().map(({ workerId }) => workerId.replace(/-[0-9a-f]{20}$/, ""));
    const wanted = [...ids].sort().join();
    await eventually(() => there().sort().join() === wanted, `the workers ${wanted}`, 60_000);
  }

  /** Starts those workers again that a test lost, and waits for all. */
  async whole(): Promise<void> {
    for (const [id, { process }] of this.#workers)
      if (process.exitCode !== null || process.signalCode !== null) this.startWorker(id);
    await this.connected(...this.#workers.keys());
  }

  /** Begins the scan, in an executor of its own. */
  scan(): FaultyScan {
    const executor = this.coordinator.newExecutor();
    const lines: string[] = [];
    const trace = smallScan(executor, this.#model, { onLine: (line) => lines.push(line) }).finally(() =>
      executor.close(),
    );
    // Whoever waits for it hears of its failure; a test that fails before does not.
    trace.catch(() => {});
    return {
      trace,
      get steps() {
        return stepsOf(lines);
      },
    };
  }

  /**
   * Runs the scan with a fault and answers what that cost. The fault is called at once, and has to wait for its moment by itself.
   * The scan's trace must be that of one without faults, its metrics must balance, and nothing may be left.
   */
  async scanWith(fault: (scan: FaultyScan) => Promise<void>): Promise<MetricValues> {
    await this.whole();
    for (const pid of descendantsOf(process.pid)) this.#pids.add(pid);
    const before = await this.metrics();
    const scan = this.scan();
    const failed = scan.trace.then(() => new Promise<never>(() => {}));
    await Promise.race([fault(scan), failed]);
    expect(await scan.trace).toEqual(this.#expected);
    const cost = grown(before, await this.metrics());
    expectBalanced(cost);
    return cost;
  }

  /**
   * Holds all operations of a kind from the middle of the scan's second step on. Waiting for one fails where the scan ends first. Which worker has one is a
   * matter of timing, unless others can have none: while operations are held, nobody comes to the ones that a later round would give.
   */
  holdInSecondStep(scan: FaultyScan, kind: Asked["kind"]): Held {
    const held = this.agent.hold((asked) => scan.steps >= 1 && asked.kind === kind);
    const missed = scan.trace.then(() => {
      throw new Error("the scan was over before its fault");
    });
    missed.catch(() => {});
    return { ...held, first: (worker) => Promise.race([held.first(worker), missed]) };
  }

  async metrics(): Promise<MetricValues> {
    return metricValues(await this.coordinator.metrics.registry.metrics());
  }

  readonly #onEnd: OnEnd = (close) => void this.#ends.push(close);

  async #open(): Promise<void> {
    const { workers, nats, natsThroughProxy, speculates } = this.#options;
    this.#model = await randomModel("defect_detection", this.#onEnd);
    const local = await createLocalExecutor({ folder: tempFolder(this.#onEnd), threads: 1 });
    this.#expected = await smallScan(local, this.#model);
    expect(stepsOf(this.#expected)).toBe(SMALL_SCAN_STEPS);
    await local.close();
    if (nats) {
      this.#nats = await startNatsServer({ endsWithTest: false });
      this.#onEnd(() => this.nats.stop());
    }
    this.agent = await FaultAgent.start(this.#onEnd);
    this.#cacheFolder = tempFolder(this.#onEnd);
    let natsUrl = this.#nats?.url;
    if (natsThroughProxy) {
      const { hostname: host, port } = new URL(this.nats.url);
      this.#natsProxy = await startTcpProxy({ host, port: Number(port) }, this.#onEnd);
      natsUrl = `nats://127.0.0.1:${this.natsProxy.port}`;
    }
    const protection = await this.#protection();
    this.coordinator = await startCoordinator({
      protection,
      metrics: { port: 0 },
      artifactFolder: join(tempFolder(this.#onEnd), "artifacts"),
      coordinatorId: COORDINATOR,
      programVersion: programVersion(),
      dispatch: { ...LEASES, ...(speculates ? {} : { speculateFactor: 0, moveAfterMs: 600_000 }) },
      ...(natsUrl === undefined ? {} : { nats: { url: natsUrl } }),
    });
    for (let k = 1; k <= workers; k++) this.startWorker(`w${k}`);
    await this.whole();
  }

  async #protection(): Promise<Protection> {
    if (!this.#options.tls) return "plain";
    this.#authority = await testAuthority(tempFolder(this.#onEnd));
    const certificates = new Certificates(this.authority.paths("coordinator"), { refreshMs: 200 });
    this.#onEnd(() => certificates.close());
    return certificates;
  }

  async #close(): Promise<void> {
    await this.whole();
    for (const pid of descendantsOf(process.pid)) this.#pids.add(pid);
    for (const worker of this.#workers.values()) worker.process.kill("SIGTERM");
    await Promise.all([...this.#workers.values()].map((worker) => worker.exit()));
    const results = join(this.#cacheFolder, "results");
    const left = existsSync(results) ? readdirSync(results) : [];
    await this.coordinator.close();
    for (let end = this.#ends.pop(); end; end = this.#ends.pop()) await end();
    await noOrphans([...this.#pids]);
    expect(left).toEqual([]);
  }
}
