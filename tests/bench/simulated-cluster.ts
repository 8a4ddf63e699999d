/**
 * A cluster on a clock of its own: the dispatcher with all its decisions, and workers that only let time pass. What comes out depends on plans
 * and scheduling alone, never on the machine or its load. Nothing travels over a network.
 */
import { pino } from "pino";
import { Dispatcher } from "../../coordinator/dispatch/dispatcher.ts";
import type { SessionPort } from "../../coordinator/dispatch/session-ports.ts";
import { type DispatchOptions, DispatchSettings } from "../../coordinator/dispatch/settings.ts";
import type { DispatchState, ScopeTerms } from "../../coordinator/dispatch/state.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type { LeaseMessage } from "../../proto/messages.ts";
import { operationFromMessage } from "../../proto/operation-codec.ts";
import type { Executor, Operation } from "../../proto/operations.ts";
import { landscapeAnswer } from "./landscape.ts";

export interface SimulatedCluster {
  /** An executor of its own for each search. */
  newExecutor(terms?: ScopeTerms): Pick<Executor, "execute" | "putArtifact">;
  /** Lets time pass until `ms`. */
  runUntil(ms: number): Promise<void>;
  /** Milliseconds that all workers together have computed so far, what runs now included. */
  busyMs(): number;
  readonly state: DispatchState;
  /** Operations that ended so far, by kind. */
  readonly ended: ReadonlyMap<string, number>;
  close(): void;
}

export interface ClusterShape {
  readonly workers: number;
  /** Leases that a worker asks for at once. */
  readonly window: number;
  /** Milliseconds that a message takes, one way. */
  readonly latencyMs: number;
  /** Whole milliseconds of an operation. */
  readonly durationMs: (operation: Operation) => number;
  readonly dispatch?: DispatchOptions;
}

const HEARTBEAT_MS = 2_000;
const DEVICE_CLASS = { provider: "cpu", runtimeVersion: "0", hardware: "none", programForm: "simulated" };

interface SimulatedWorker {
  readonly session: number;
  readonly queue: LeaseMessage[];
  /** When the operation that runs began. */
  startedMs: number | undefined;
  busyMs: number;
}

export function startSimulatedCluster({
  workers,
  window,
  latencyMs,
  durationMs,
  dispatch,
}: ClusterShape): SimulatedCluster {
  let nowMs = 0;
  let executors = 0;
  const calendar: (() => void)[][] = [];
  const after = (ms: number, action: () => void) => {
    const at = nowMs + ms;
    calendar[at] ??= [];
    calendar[at].push(action);
  };
  const ended = new Map<string, number>();
  const ignore = () => {};
  const dispatcher = new Dispatcher({
    settings: DispatchSettings.parse({ heartbeatMs: HEARTBEAT_MS, ...dispatch }),
    observer: {
      operationEnded: (kind) => void ended.set(kind, (ended.get(kind) ?? 0) + 1),
      leaseGranted: ignore,
      leaseEnded: ignore,
      resultArrived: ignore,
      keptResults: ignore,
      checkEnded: ignore,
      workerExpelled: ignore,
      resultLag: ignore,
      artifactMoved: ignore,
      natsReconnected: ignore,
      workerBackedOff: ignore,
    },
    logger: pino({ level: "silent" }),
    now: () => nowMs,
    after,
  });

  const begin = (worker: SimulatedWorker) => {
    const lease = worker.queue[0];
    if (!lease || worker.startedMs !== undefined) return;
    worker.startedMs = nowMs;
    const operation = operationFromMessage(lease.operation);
    after(durationMs(operation), () => finish(worker, lease, operation));
  };
  const withdraw = (worker: SimulatedWorker, leaseId: number) => {
    const at = worker.queue.findIndex((lease) => lease.leaseId === leaseId);
    if (at < 1) return;
    worker.queue.splice(at, 1);
    after(latencyMs, () => dispatcher.handle({ kind: "credit", session: worker.session, leases: 1 }));
  };
  const finish = (worker: SimulatedWorker, { fingerprint }: LeaseMessage, operation: Operation) => {
    worker.queue.shift();
    worker.busyMs += nowMs - worker.startedMs!;
    worker.startedMs = undefined;
    begin(worker);
    after(latencyMs, () => {
      const tensors = landscapeAnswer(operation, 8);
      const seconds = durationMs(operation) / 1_000;
      const workerId = `w${worker.session}`;
      dispatcher.handle(
        {
          ...{ kind: "result", fingerprint, workerId, deviceClass: className, seconds },
          verdict: { kind: "valid" },
        },
        { tensors, forwards: 0, tokens: 0, seconds },
      );
      dispatcher.handle({ kind: "credit", session: worker.session, leases: 1 });
    });
  };
  const join = (k: number): SimulatedWorker => {
    const port: SessionPort = {
      send: (message) => {
        if (message.message === "cancel") after(latencyMs, () => withdraw(worker, message.cancel.leaseId));
      },
      accept: ignore,
      end: ignore,
      lease: (lease) =>
        after(latencyMs, () => {
          worker.queue.push(lease);
          begin(worker);
        }),
    };
    const session = dispatcher.join(
      {
        workerId: `w${k + 1}`,
        programVersion: "simulated",
        deviceClass: DEVICE_CLASS,
        memoryBytes: 0,
        cachedCheckpoints: [],
        threads: 1,
        programForms: [],
        incarnation: "",
        natsUserKey: "",
        operatorsElsewhere: [],
      },
      port,
    );
    const worker: SimulatedWorker = { session, queue: [], startedMs: undefined, busyMs: 0 };
    dispatcher.handle({ kind: "credit", session, leases: window });
    return worker;
  };
  const all = Array.from({ length: workers }, (_, k) => join(k));
  const className = dispatcher.state.workers.get(all[0]!.session)!.deviceClass;
  const beat = () => {
    for (const { session, queue } of all) {
      const leaseIds = queue.map(({ leaseId }) => leaseId);
      dispatcher.handle({ kind: "heartbeat", session, leaseIds, runningLeaseId: leaseIds[0] ?? 0 });
    }
    after(HEARTBEAT_MS, beat);
  };
  beat();

  return {
    state: dispatcher.state,
    ended,
    newExecutor(terms) {
      const scope = `s${executors++}`;
      return {
        execute: (operations, signal) => dispatcher.run(scope, operations, signal, terms && { terms }),
        putArtifact: async (bytes) => digestOf(bytes),
      };
    },
    async runUntil(ms) {
      for (; nowMs < ms; nowMs++) {
        // What searches do with results is over when the event loop comes round.
        await new Promise((resolve) => setImmediate(resolve));
        while (calendar[nowMs]) {
          const actions = calendar[nowMs]!;
          delete calendar[nowMs];
          for (const action of actions) action();
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    },
    busyMs: () =>
      all.reduce(
        (sum, { busyMs, startedMs }) => sum + busyMs + (startedMs === undefined ? 0 : nowMs - startedMs),
        0,
      ),
    close: () => dispatcher.close(),
  };
}
