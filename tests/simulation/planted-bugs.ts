/** Six bugs that a coordinator could have, each put in at a seam from outside: the simulation must find every one of them. */
import { findFault } from "../../coordinator/gather/validate.ts";
import type { SweepBook } from "../../coordinator/sweep/book.ts";
import { fingerprintOf } from "../../proto/operation-codec.ts";
import type { OperationResult } from "../../proto/operations.ts";
import { decodeResultEnvelope, type ResultEnvelope } from "../../proto/result-envelope.ts";
import type { Plan } from "./plan.ts";
import type { Planted } from "./planted.ts";
import type { VirtualCoordinator } from "./virtual-coordinator.ts";

export interface PlantedBug {
  readonly planted: () => Planted;
  /** Invariants that may find it first. */
  readonly foundBy: readonly string[];
}

export const PLANTED_BUGS = {
  /** Results are counted as they arrive: one that comes twice stands for another one, too. */
  "no deduplication": {
    planted: withoutDeduplication,
    foundBy: ["sameStepAsCalm", "sameReportAsCalm", "noLostJob"],
  },
  /** The log takes what a coordinator writes whose term is over. */
  "no fence": { planted: () => ({ fences: false }), foundBy: ["oneWriterATerm"] },
  /** A write that is not acknowledged soon is written again. */
  "double commit": { planted: withDoubleCommit, foundBy: ["monotoneCommit", "legalTransition"] },
  /** A worker that is gone keeps its leases. */
  "lease leak": { planted: () => ({ leave: () => () => undefined }), foundBy: ["noLeaseLeak"] },
  /** The sweep that was submitted last is served last, whatever the others were served. */
  starvation: { planted: withStarvation, foundBy: ["fairStarts"] },
  /** Some results are acknowledged and thrown away. */
  "lost result": { planted: withLostResults, foundBy: ["acceptedIsTaken"] },
} satisfies Record<string, PlantedBug>;

type Arrival = (envelope: ResultEnvelope) => void;

function withoutDeduplication(): Planted {
  const listeners = new WeakMap<VirtualCoordinator, Set<Arrival>>();
  const listenersOf = (coordinator: VirtualCoordinator): Set<Arrival> => {
    const known = listeners.get(coordinator) ?? new Set();
    listeners.set(coordinator, known);
    return known;
  };
  return {
    intake: (intake, coordinator) => ({
      receive(bytes, from) {
        const envelope = readEnvelope(bytes);
        if (envelope) for (const listener of listenersOf(coordinator)) listener(envelope);
        return intake.receive(bytes, from);
      },
    }),
    run: (run, coordinator) => async (operations, signal) => {
      const fingerprints = operations.map(fingerprintOf);
      const arrived: { readonly place: number; readonly result: OperationResult }[] = [];
      const listener: Arrival = ({ fingerprint, outcome, forwards, tokens, seconds }) => {
        const place = fingerprints.indexOf(fingerprint);
        if (place < 0 || outcome.kind !== "tensors" || findFault(operations[place]!, outcome.tensors)) return;
        arrived.push({ place, result: { tensors: outcome.tensors, forwards, tokens, seconds } });
      };
      listenersOf(coordinator).add(listener);
      try {
        const really = await run(operations, signal);
        if (arrived.length < operations.length) return really;
        const first = arrived.slice(0, operations.length).sort((a, b) => a.place - b.place);
        return first.map(({ result }) => result);
      } finally {
        listenersOf(coordinator).delete(listener);
      }
    },
  };
}

function readEnvelope(bytes: Uint8Array): ResultEnvelope | undefined {
  try {
    return decodeResultEnvelope(bytes);
  } catch {
    return undefined;
  }
}

/** Patience of a client that does not name its writes. */
const IMPATIENT_MS = 100;

function withDoubleCommit(): Planted {
  return {
    log: (log, world) => ({
      replay: () => log.replay(),
      snapshot: (value) => log.snapshot(value),
      append(values) {
        const first = log.append(values);
        let isAnswered = false;
        const answered = () => {
          isAnswered = true;
        };
        first.then(answered, answered);
        world.calendar.after(IMPATIENT_MS, () => {
          if (!isAnswered) log.append(values).catch(() => undefined);
        });
        return first;
      },
    }),
  };
}

/** Several sweeps of many jobs, of which one is worked on at a time. */
const crowded = (plan: Plan): Plan => ({
  ...plan,
  limit: 1,
  waitsAreBounded: true,
  acts: plan.acts.map((act) =>
    act.kind === "submit"
      ? { ...act, at: Math.min(act.at, 200), spec: { ...act.spec, priority: 0, jobs: CROWD } }
      : act,
  ),
});

const CROWD = Array.from({ length: 5 }, (_, k) => ({ name: `j${k}`, model: `m${k}`, options: {} }));

function withStarvation(): Planted {
  return {
    plan: crowded,
    book: (book) =>
      new Proxy(book, {
        get(target, name) {
          if (name === "state") return withLastServedMost(target);
          const value = Reflect.get(target, name, target) as unknown;
          return typeof value === "function" ? value.bind(target) : value;
        },
      }),
  };
}

const withLastServedMost = ({ state }: SweepBook): SweepBook["state"] => ({
  ...state,
  sweeps: state.sweeps.map((sweep, k) =>
    k > 0 && k === state.sweeps.length - 1 ? { ...sweep, served: Number.MAX_VALUE } : sweep,
  ),
});

/** One of so many. */
const LOST_EVERY = 7;

function withLostResults(): Planted {
  let count = 0;
  return {
    intake: (intake, coordinator) => ({
      receive(bytes, from) {
        const envelope = readEnvelope(bytes);
        if (envelope === undefined || ++count % LOST_EVERY > 0) return intake.receive(bytes, from);
        const accepted = { fingerprints: [envelope.fingerprint] };
        coordinator.streamOf(from.workerId)?.server.write({ message: "accepted", accepted });
        return undefined;
      },
    }),
  };
}
