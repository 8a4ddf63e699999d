/**
 * A worker's life, as its log, `/readyz` and the metric `elibad_worker_state` show it.
 *
 * | from | to | when |
 * |---|---|---|
 * | starting | connecting | the inference child says what device it computes on |
 * | starting | failed | the device cannot be used, or the child does not start, five times in a row |
 * | connecting | serving | a coordinator welcomes the worker |
 * | connecting, serving | refused | a coordinator refuses it (another program, an id that is no token) |
 * | serving | connecting | the stream ends: what was not started is dropped, since its leases go to others at once |
 * | serving | draining | SIGTERM or Ctrl-C: then it stops; or the coordinator says Drain: then it dials again |
 * | connecting, serving | failed | the child does not start again, five times in a row |
 * | draining | stopped, connecting | nothing is held and every result was accepted, or the drain time is over, or the stream ended |
 * | starting, connecting | stopped | SIGTERM or Ctrl-C with nothing to give back |
 *
 * `stopped`, `refused` and `failed` are final.
 */
export type WorkerState =
  | { readonly kind: "starting" }
  | { readonly kind: "connecting"; readonly addresses: readonly string[] }
  | { readonly kind: "serving"; readonly address: string }
  | { readonly kind: "draining"; readonly reason: string; readonly next: "stop" | "dial" }
  | FinalState;

export type FinalState =
  | { readonly kind: "stopped"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

export type WorkerStateKind = WorkerState["kind"];

const TRANSITIONS: Readonly<Record<WorkerStateKind, readonly WorkerStateKind[]>> = {
  starting: ["connecting", "failed", "stopped"],
  connecting: ["serving", "refused", "failed", "stopped"],
  serving: ["connecting", "draining", "failed", "refused"],
  draining: ["connecting", "stopped"],
  stopped: [],
  refused: [],
  failed: [],
};

export const WORKER_STATES = Object.keys(TRANSITIONS) as readonly WorkerStateKind[];

/** Whether the table above has this transition. */
export const mayBecome = (from: WorkerStateKind, to: WorkerStateKind): boolean =>
  TRANSITIONS[from].includes(to);

export const isFinal = (state: WorkerState): state is FinalState => TRANSITIONS[state.kind].length === 0;
