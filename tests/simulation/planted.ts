/** Where a test may put something wrong in: each is a part of the coordinator as its neighbour sees it. */
import type { Dispatcher } from "../../coordinator/dispatch/dispatcher.ts";
import type { ClusterExecutor } from "../../coordinator/dispatch/executor.ts";
import type { ResultIntake } from "../../coordinator/gather/intake.ts";
import type { SweepBook } from "../../coordinator/sweep/book.ts";
import type { SweepLog } from "../../coordinator/sweep/sweep-log.ts";
import type { Plan } from "./plan.ts";
import type { VirtualCoordinator } from "./virtual-coordinator.ts";
import type { World } from "./world.ts";

type Execute = ClusterExecutor["execute"];

export interface Planted {
  /** What must be there for the bug to matter. */
  readonly plan?: (plan: Plan) => Plan;
  readonly log?: (log: SweepLog, world: World) => SweepLog;
  readonly book?: (book: SweepBook, world: World) => SweepBook;
  readonly intake?: (
    intake: ResultIntake,
    coordinator: VirtualCoordinator,
    world: World,
  ) => Pick<ResultIntake, "receive">;
  readonly run?: (run: Execute, coordinator: VirtualCoordinator) => Execute;
  readonly leave?: (dispatcher: Dispatcher) => Dispatcher["leave"];
  /** False: the log takes what any writer appends. */
  readonly fences?: boolean;
}
