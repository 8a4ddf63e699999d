/**
 * Weighted fair sharing: groups (sweeps, commands) of one priority share by weight, and the scopes of a group (its jobs) alike. What counts is work: the
 * seconds that results say they took and, before they come, those that leases are expected to take. Whoever was served least is next, as in start-time
 * fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): a clock of served time, that of the least served one who could be given something, says where a
 * newcomer starts, and nobody is behind it by more than a few quanta. So idle time is not saved up.
 */
import type { DispatchState, GroupState, OperationState, ScopeState } from "./state.ts";

/** What a group or a scope was served, against those beside it. */
export interface Account {
  /** Seconds of work by weight, counted from the clock when it came in. */
  served: number;
  /** Seconds that its leases are expected to take, by weight. */
  expected: number;
}

/** Where an operation's group and scope stand. */
export interface Standing {
  readonly operation: OperationState;
  readonly scope: ScopeState;
  readonly group: GroupState;
}

/**
 * Quanta that somebody may be behind. More than one: who has nothing waiting for a moment, between two rounds, is behind by up to a quantum while workers
 * stay with what they have loaded, and would lose what comes on top of it.
 */
const MAX_ARREARS = 4;

/** A new scope stands where the least served one of its group stands, and a new group where the least served one of its priority does. */
export function enter(state: DispatchState, name: string, scope: ScopeState): void {
  const { share } = scope;
  const served = state.clocks.get(share.priority) ?? 0;
  const group = state.groups.get(share.group) ?? {
    ...{ share, scopes: new Set<string>(), clock: 0, workSeconds: 0 },
    ...{ served, expected: 0 },
  };
  state.groups.set(share.group, group);
  group.scopes.add(name);
  scope.served = group.clock;
}

/** A scope is closed. A group without any is kept while it is ahead of others: coming back does not make it even with them. */
export function leave(state: DispatchState, name: string, scope: ScopeState): void {
  const { groups, clocks } = state;
  groupOf(state, scope).scopes.delete(name);
  const busy = new Set(
    [...groups.values()].flatMap(({ share, scopes }) => (scopes.size > 0 ? share.priority : [])),
  );
  for (const [key, { share, scopes, served }] of groups) {
    const isAhead = busy.has(share.priority) && served > (clocks.get(share.priority) ?? 0);
    if (scopes.size === 0 && !isAhead) groups.delete(key);
  }
  for (const priority of clocks.keys()) if (!busy.has(priority)) clocks.delete(priority);
}

/** A lease that is expected to take so long is out or, where it is negative, over. */
export function expectWork(state: DispatchState, scope: ScopeState, seconds: number): void {
  const group = groupOf(state, scope);
  scope.expected += seconds;
  group.expected += seconds / group.share.weight;
}

/** A result of the scope was used, which took so long. */
export function serve(state: DispatchState, scope: ScopeState, seconds: number): void {
  const group = groupOf(state, scope);
  scope.served += seconds;
  group.served += seconds / group.share.weight;
  group.workSeconds += seconds;
}

/**
 * Those of the operations that may be next: of the highest priority, of groups and scopes that are ahead of the least served one by a quantum at most,
 * within which a worker may stay with the checkpoint that it has loaded.
 *
 * @param operations all that could be given to somebody now, the first of each lane
 */
export function due(state: DispatchState, operations: readonly OperationState[]): Standing[] {
  if (operations.length === 0) return [];
  const { quantumMs, jobQuantumMs } = state.settings;
  const standings = operations.map((operation): Standing => {
    const scope = state.scopes.get(operation.scope)!;
    return { operation, scope, group: groupOf(state, scope) };
  });
  const priority = Math.max(...standings.map(({ group }) => group.share.priority));
  const first = standings.filter(({ group }) => group.share.priority === priority);
  const groups = new Map<GroupState, Set<ScopeState>>();
  for (const { group, scope } of first) groups.set(group, (groups.get(group) ?? new Set()).add(scope));

  const clock = moveOn(state.clocks.get(priority) ?? 0, groups.keys());
  state.clocks.set(priority, clock);
  const leastScopes = new Map<GroupState, number>();
  for (const [group, scopes] of groups) {
    group.served = Math.max(group.served, clock - (MAX_ARREARS * quantumMs) / 1_000 / group.share.weight);
    group.clock = moveOn(group.clock, scopes);
    for (const scope of scopes)
      scope.served = Math.max(scope.served, group.clock - (MAX_ARREARS * jobQuantumMs) / 1_000);
    leastScopes.set(group, leastOf(scopes));
  }
  const leastGroup = leastOf(groups.keys());
  return first.filter(({ group, scope }) => {
    const groupAheadMs = (standOf(group) - leastGroup) * group.share.weight * 1_000;
    const scopeAheadMs = (standOf(scope) - leastScopes.get(group)!) * 1_000;
    return groupAheadMs <= quantumMs && scopeAheadMs <= jobQuantumMs;
  });
}

/** Less than 0: `a` was served less, or came earlier. */
export const byNeed = (a: Standing, b: Standing): number =>
  standOf(a.group) - standOf(b.group) ||
  standOf(a.scope) - standOf(b.scope) ||
  a.operation.order - b.operation.order;

const standOf = ({ served, expected }: Account): number => served + expected;

function leastOf(accounts: Iterable<Account>): number {
  let least = Number.POSITIVE_INFINITY;
  for (const account of accounts) least = Math.min(least, standOf(account));
  return least;
}

/** The clock of these accounts, of which each could be given something: it never goes back. */
function moveOn(clock: number, accounts: Iterable<Account>): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { served } of accounts) least = Math.min(least, served);
  return Math.max(clock, least);
}

const groupOf = ({ groups }: DispatchState, { share }: ScopeState): GroupState => groups.get(share.group)!;
