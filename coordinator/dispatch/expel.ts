import { noteChecked, uncheckedSince } from "./origins.ts";
import { distrust, endLeases, forget, heldBy, requeue, type Turn, workersNamed } from "./turn.ts";

/**
 * A worker gave a wrong result: nothing more is taken from it or given to it, and whatever nobody checked of what it gave counts as wrong. Scopes that
 * were given some of that cannot go on; who made them begins again where nothing of it is.
 */
export function expel(turn: Turn, workerId: string, reason: string): void {
  const { state, decisions } = turn;
  if (state.expelled.has(workerId)) return;
  state.expelled.set(workerId, reason);
  const [worker] = workersNamed(turn, workerId);
  decisions.push({ kind: "expel", workerId, session: worker?.session, reason });
  if (worker) {
    state.workers.delete(worker.session);
    for (const lease of heldBy(turn, worker, worker.leases)) requeue(turn, lease, "expelled");
  }
  state.owedAccepts.delete(workerId);
  for (const holders of state.holders.values()) holders.delete(workerId);
  dropVotes(turn, workerId);
  for (const [name, scope] of state.scopes) {
    if (!uncheckedSince(scope.origins, 0).some((each) => each.workerId === workerId)) continue;
    distrust(
      turn,
      name,
      `worker ${workerId} was expelled, and results of it were used that nobody has checked: ${reason}`,
    );
  }
}

/** Its votes in open checks count no more. Where its own result is the one that was used, there is nothing left to check. */
function dropVotes(turn: Turn, workerId: string): void {
  for (const [key, { votes }] of [...turn.state.checks]) {
    if (!votes.has(workerId)) continue;
    if (votes.get(workerId) !== 0 || [...votes.values()].filter((answer) => answer === 0).length > 1) {
      votes.delete(workerId);
      continue;
    }
    const operation = turn.state.operations.get(key)!;
    noteChecked(turn.state.scopes.get(operation.scope)!.origins, operation.fingerprint, false);
    endLeases(turn, operation, { end: "overtaken", reason: "the check is over", letRun: true });
    forget(turn, operation);
    turn.decisions.push({ kind: "check-ended", key, outcome: "different" });
  }
}
