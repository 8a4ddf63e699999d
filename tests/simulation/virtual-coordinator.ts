/** A coordinator of real parts: dispatcher, sessions, intake, book and runner, over the simulated log, network and time. */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { pino } from "pino";
import { Dispatcher } from "../../coordinator/dispatch/dispatcher.ts";
import type { DispatchEvent } from "../../coordinator/dispatch/events.ts";
import { ClusterExecutor, type ExecutorArtifacts } from "../../coordinator/dispatch/executor.ts";
import type { DispatchObserver } from "../../coordinator/dispatch/observer.ts";
import { serveWork } from "../../coordinator/dispatch/work-session.ts";
import { ResultIntake, type UploadedArtifacts } from "../../coordinator/gather/intake.ts";
import { SingleWriterLog } from "../../coordinator/store/single-writer-log.ts";
import { SweepBook } from "../../coordinator/sweep/book.ts";
import type { OpenJob } from "../../coordinator/sweep/job-work.ts";
import { SweepRunner } from "../../coordinator/sweep/runner.ts";
import { findSweep } from "../../coordinator/sweep/sweep.ts";
import type { CoordinatorMessage, WorkerMessage } from "../../proto/messages.ts";
import { sleep } from "../../worker/clock.ts";
import * as invariants from "./invariants.ts";
import type { Random } from "./random.ts";
import { scriptedWork, scriptOf } from "./scripted-job.ts";
import type { Consumer } from "./virtual-broker.ts";
import type { VirtualStream } from "./virtual-stream.ts";
import { Process } from "./virtual-time.ts";
import type { World } from "./world.ts";

const silent = pino({ level: "silent" });

/** Nothing in the simulation is an artifact that anybody reads. */
const noArtifacts: ExecutorArtifacts & UploadedArtifacts = {
  releaseAllOf: async () => undefined,
} as never;

export class VirtualCoordinator {
  readonly name: string;
  readonly process: Process;
  readonly #world: World;
  book: SweepBook | undefined;
  dispatcher: Dispatcher | undefined;
  /** Sessions by the streams that are theirs. */
  readonly sessions = new Map<number, VirtualStream>();
  /** Results that were handed over, as `worker fingerprint`. */
  readonly taken = new Set<string>();
  intake: Pick<ResultIntake, "receive"> | undefined;
  #runner: SweepRunner | undefined;
  #log: SingleWriterLog | undefined;
  #scopes = 0;
  #isStopping = false;

  constructor(world: World, name: string, random: Random) {
    this.#world = world;
    this.name = name;
    this.process = new Process(name, world.calendar, random);
    void this.#run();
  }

  /** Whether it takes workers and users. */
  get isLeading(): boolean {
    return this.process.isAlive && this.#runner !== undefined && !this.#isStopping;
  }

  get term(): number {
    return this.#log?.term ?? 0;
  }

  /** As on SIGTERM, or when another one leads: stops taking work, lets workers go, gives its term back. */
  async stop(successor?: string): Promise<void> {
    if (!this.isLeading) return;
    this.#isStopping = true;
    await this.#runner!.close();
    this.dispatcher!.close(successor);
    for (let waited = 0; this.dispatcher!.state.workers.size > 0 && waited < 2_000; waited += 100)
      await sleep(this.process.clock, 100);
    await this.#log!.close();
    this.process.kill();
  }

  /** The stream of a worker that is connected. */
  streamOf(workerId: string): VirtualStream | undefined {
    for (const { session, workerId: id } of this.dispatcher!.state.workers.values())
      if (id === workerId) return this.sessions.get(session);
    return undefined;
  }

  /** A worker's stream has come. */
  serve(stream: VirtualStream): void {
    const dispatcher = this.dispatcher!;
    const { settings } = this.#world;
    serveWork(stream.server as ServerDuplexStream<WorkerMessage, CoordinatorMessage>, {
      dispatcher: this.#joining(dispatcher, stream),
      logger: silent,
      receive: (bytes, workerId) => void this.receive(bytes, workerId, "stream"),
      idOf: ({ workerId }) => ({ id: workerId }),
      welcome: (workerId) => ({
        workerId,
        natsCredentialFollows: false,
        natsUrl: this.#world.plan.way === "broker" ? "the simulated broker" : "",
        resultSubject: `results.${workerId}`,
        heartbeatMs: settings.dispatch.heartbeatMs,
        artifactFolder: "",
        artifactNonce: "",
      }),
    });
  }

  /** Takes results from the broker. */
  get consumer(): Consumer {
    const { process } = this;
    return {
      process,
      receive: (bytes, workerId) => {
        this.#world.note(`${this.name} has a result of ${workerId} from the broker`);
        this.receive(bytes, workerId, "nats");
      },
    };
  }

  receive(bytes: Uint8Array, workerId: string, path: "stream" | "nats"): void {
    void this.intake!.receive(bytes, { workerId, path });
  }

  async #run(): Promise<void> {
    try {
      const medium = await this.#world.store.open(this.process);
      this.#log = new SingleWriterLog(medium);
      void this.#log.lost.then(() => {
        this.#world.count("term lost");
        return this.isLeading ? this.stop(this.#world.store.leaderAddress) : this.#end("its term is over");
      });
      await this.#lead(this.#log);
    } catch (error) {
      this.#end((error as Error).message);
    }
  }

  async #lead(log: SingleWriterLog): Promise<void> {
    const { process } = this;
    const { clock } = process;
    const world = this.#world;
    const { planted } = world;
    this.book = await SweepBook.open(planted.log?.(log, world) ?? log, {
      now: () => world.wallMs(),
      snapshotEvery: world.plan.snapshotEvery,
      pause: () => sleep(clock, 300),
      onLost: (error) => this.#end(error.message),
    });
    this.dispatcher = new Dispatcher({
      settings: { ...world.settings.dispatch, recheckRate: world.plan.recheckRate },
      observer: this.#observer(),
      logger: silent,
      now: clock.now,
      after: (ms, action) => void clock.after(ms, action),
      every: clock.every,
      recall: (fingerprint, operation) => intake.recall(fingerprint, operation),
      expelled: new Map((this.book.state.expelled ?? []).map(({ workerId, reason }) => [workerId, reason])),
      onExpelled: (workerId, reason) => {
        world.note(`${this.name} expels ${workerId}`);
        world.guarded(() => invariants.onlyLiarsAreExpelled(world.liars, workerId));
        intake.forgetAllOf(workerId);
        this.#runner?.expel(workerId, reason).catch((error: Error) => this.#end(error.message));
      },
    });
    this.#watch(this.dispatcher);
    const parts = { store: noArtifacts as never, observer: this.#observer(), logger: silent };
    const intake: ResultIntake = new ResultIntake({ dispatcher: this.dispatcher, ...parts });
    this.intake = planted.intake?.(intake, this, world) ?? intake;
    this.#runner = new SweepRunner({
      book: planted.book?.(this.book, world) ?? this.book,
      open: this.#open,
      limit: world.plan.limit,
      reasonOf: (error) => (error as Error).message,
    });
    world.note(`${this.name} leads in term ${log.term}`);
    world.bookChanged();
    this.book.subscribe(() => world.bookChanged());
  }

  readonly #open: OpenJob = async ({ sweep, options, deviceClass }) => {
    const { name, weight, priority } = findSweep(this.book!.state, sweep)!.spec;
    const terms = { deviceClass, share: { group: name, weight, priority } };
    const executor = new ClusterExecutor(
      this.dispatcher!,
      noArtifacts,
      `${this.name} ${++this.#scopes}`,
      terms,
    );
    const { planted } = this.#world;
    const run = (...asked: Parameters<ClusterExecutor["execute"]>) => executor.execute(...asked);
    return scriptedWork(scriptOf(options), {
      run: planted.run?.(run, this) ?? run,
      get deviceClass() {
        return executor.deviceClass;
      },
      provenance: executor.provenance,
      close: () => executor.close(),
    });
  };

  /** The dispatcher, with which stream is whose noted on the way. */
  #joining(dispatcher: Dispatcher, stream: VirtualStream): Dispatcher {
    const { sessions } = this;
    const { planted } = this.#world;
    return new Proxy(dispatcher, {
      get(target, name) {
        if (name === "join")
          return (...given: Parameters<Dispatcher["join"]>) => {
            const session = target.join(...given);
            sessions.set(session, stream);
            return session;
          };
        if (name === "leave" && planted.leave) return planted.leave(target);
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Sees every event on its way in. */
  #watch(dispatcher: Dispatcher): void {
    const handle = dispatcher.handle.bind(dispatcher);
    dispatcher.handle = (event: DispatchEvent, result) => {
      if (event.kind === "result") this.taken.add(`${event.workerId} ${event.fingerprint}`);
      this.#world.count(`event: ${event.kind}`);
      return handle(event, result);
    };
  }

  /** Counts whatever it is told, by the words in it. */
  #observer(): DispatchObserver {
    const { count } = this.#world;
    return new Proxy({} as DispatchObserver, {
      get:
        (_, name) =>
        (...given: readonly unknown[]) => {
          count(`observed ${String(name)}`);
          for (const word of given) if (typeof word === "string") count(`observed ${String(name)} ${word}`);
        },
    });
  }

  #end(reason: string): void {
    if (!this.process.isAlive) return;
    this.#world.note(`${this.name} ends: ${reason}`);
    this.#world.count("coordinator ended by itself");
    this.process.kill();
  }
}
