/** The real supervisor of a worker on a simulated machine: its time, its child, its cache and its connections are the simulation's. */
import { pino } from "pino";
import { fingerprintOf } from "../../proto/operation-codec.ts";
import type { TensorMap } from "../../proto/operations.ts";
import type { ChildOutcome, ReadyDevice, Run } from "../../worker/child/messages.ts";
import { type CompiledWorkerOptions, compileWorkerOptions } from "../../worker/options.ts";
import { CoordinatorArtifacts } from "../../worker/supervisor/artifact-transfer.ts";
import type { SupervisorParts } from "../../worker/supervisor/parts.ts";
import { Supervisor } from "../../worker/supervisor/supervisor.ts";
import { answerOf } from "./answers.ts";
import type { PlannedWorker } from "./plan.ts";
import { SALTS } from "./plan.ts";
import type { Random } from "./random.ts";
import { killedBy } from "./scripted-job.ts";
import { type ChildScript, VirtualChild } from "./virtual-child.ts";
import { Process } from "./virtual-time.ts";
import type { World } from "./world.ts";

/** What befalls an operation to come. */
export type Mishap =
  | "child hangs"
  | "child out of memory"
  | "result not finite"
  | "result of a wrong length"
  | "artifact not to be had";

const silent = pino({ level: "silent" });
let template: CompiledWorkerOptions | undefined;

export class VirtualWorker {
  readonly id: string;
  readonly hardware: string;
  readonly process: Process;
  readonly supervisor: Supervisor;
  slowness: number;
  /** What it answers looks right, and is not. */
  isLiar = false;
  /** The first one befalls the next operation. */
  readonly mishaps: Mishap[] = [];
  child: VirtualChild | undefined;
  readonly #world: World;
  readonly #random: Random;
  readonly #lie: number;

  constructor(world: World, id: string, planned: PlannedWorker, random: Random) {
    this.id = id;
    this.hardware = planned.hardware;
    this.slowness = planned.slowness;
    this.#world = world;
    this.#random = random;
    // No two liars tell the same.
    this.#lie = random.int(1_000, 2 ** 30);
    this.process = new Process(id, world.calendar, random.branch("pauses"));
    const { settings, coordinators } = world;
    template ??= compileWorkerOptions({
      protection: "plain",
      coordinators: ["c0:1"],
      cacheFolder: "simulated",
      threads: 1,
    });
    this.supervisor = new Supervisor({
      options: {
        ...template,
        id,
        coordinators: coordinators.map(({ name }) => `${name}:1`),
        leases: planned.window,
        resendMs: settings.resendMs,
        operationTimeoutMs: settings.operationTimeoutMs,
        drainMs: settings.drainMs,
      },
      log: silent as never,
      cache: this.#cache(),
      artifacts: new CoordinatorArtifacts(),
      resultFolder: "simulated-results",
      removeResults: async () => undefined,
      natsUser: { publicKey: "", seed: "" },
      machine: {
        clock: this.process.clock,
        startChild: (_entry, _options, events) => {
          const own = new Process(`${id}'s child`, world.calendar, random);
          this.child = new VirtualChild(own, this.process, events, this.#script());
          return this.child;
        },
        connect: (address) => world.network.dial(this, address),
        openPublisher: (options) => world.broker.publisher(this.process, options),
      },
    });
    // A process that ends is a dead one.
    void this.supervisor.done.then(() => this.process.kill());
  }

  /** Results that nobody accepted yet. */
  get unaccepted(): number {
    return this.supervisor.unaccepted;
  }

  #cache(): SupervisorParts["cache"] {
    const has = new Set<string>();
    return {
      sharedFolder: undefined,
      useSharedFolder: async () => false,
      cachedCheckpoints: async () => [...has].sort(),
      counts: () => ({ bytes: 0, artifacts: 0, hits: 0, misses: 0, fetchedBytes: 0 }),
      adopt: async () => undefined,
      forget: async () => undefined,
      close: () => undefined,
      hold: ({ checkpoint }) => {
        const release = (): void => undefined;
        if (this.#befalls("artifact not to be had")) return { ready: this.#fetched(false), release };
        if (has.has(checkpoint)) return { ready: undefined, release };
        has.add(checkpoint);
        return { ready: this.#fetched(true), release };
      },
    };
  }

  #fetched(isThere: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.process.after(this.#random.int(5, 60), () =>
        isThere ? resolve() : reject(new Error("the artifact is nowhere to be had")),
      );
    });
  }

  #script(): ChildScript {
    const device: ReadyDevice = {
      deviceClass: {
        provider: "cpu",
        runtimeVersion: "1",
        hardware: this.hardware,
        programForm: "simulated",
      },
      elsewhere: [],
      forms: ["primitive"],
    };
    return {
      ready: { kind: "ready", device },
      startMs: () => this.#random.int(20, 100),
      outcome: (run) => ({ ms: this.#durationMs(), end: this.#outcome(run) }),
    };
  }

  #durationMs(): number {
    return Math.ceil(this.slowness * this.#random.int(20, 200));
  }

  #outcome({ operation }: Run): ChildOutcome | "dies" | "kills the worker" | "hangs" {
    const victim = killedBy(operation);
    if (victim !== undefined) return victim === "child" ? "dies" : "kills the worker";
    if (this.#befalls("child hangs")) return "hangs";
    if (this.#befalls("child out of memory"))
      return { kind: "error", retryable: true, message: "out of memory" };
    if (this.isLiar) this.#world.lied(this.id);
    const salt = this.isLiar ? this.#lie : SALTS[this.hardware]!;
    const tensors = answerOf(operation, fingerprintOf(operation), salt);
    if (this.#befalls("result not finite")) return { kind: "tensors", tensors: withNaN(tensors) };
    if (this.#befalls("result of a wrong length")) return { kind: "tensors", tensors: shortened(tensors) };
    return { kind: "tensors", tensors };
  }

  /** Whether the next mishap is this one; it happens then. */
  #befalls(mishap: Mishap): boolean {
    if (this.mishaps[0] !== mishap) return false;
    this.mishaps.shift();
    this.#world.count(`fault: ${mishap}`);
    return true;
  }
}

/** Results must not change where they are kept. */
const copied = (tensors: TensorMap) =>
  Object.entries(tensors).map(
    ([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data as Float32Array) }] as const,
  );

function withNaN(tensors: TensorMap): TensorMap {
  const entries = copied(tensors);
  entries[0]![1].data[0] = Number.NaN;
  return Object.fromEntries(entries);
}

function shortened(tensors: TensorMap): TensorMap {
  return Object.fromEntries(
    copied(tensors).map(([name, { shape, data }]) => {
      const [rows, ...rest] = shape;
      const size = data.length / rows!;
      return [name, { shape: [rows! + 1, ...rest], data: Float32Array.from({ length: size * (rows! + 1) }) }];
    }),
  );
}
