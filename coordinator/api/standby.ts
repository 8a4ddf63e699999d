import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { coordinatorService } from "../../proto/definition.ts";
import { isDialable, LEADER_KEY } from "../../proto/leader.ts";
import type { CoordinatorMessage, WorkerMessage } from "../../proto/messages.ts";
import { CallError, failing } from "./calls.ts";
import type { Role } from "./server.ts";

/**
 * A coordinator that does not lead: it says who does.
 *
 * @param leader its address; empty while nobody is known to lead
 */
export function standbyRole(leader: () => string): Role {
  const known = (): string => (isDialable(leader()) ? leader() : "");
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: "elibad_coordinator_leads",
    help: "1 where this coordinator leads, 0 where it stands by.",
    registers: [registry],
  }).set(0);
  const names = Object.keys(coordinatorService).filter((name) => name !== "Work");
  return {
    get name() {
      return known() === "" ? "standby, nobody is known to lead" : `standby of ${known()}`;
    },
    calls: {
      Work: (call: ServerDuplexStream<WorkerMessage, CoordinatorMessage>) => {
        call.on("error", () => undefined);
        call.on("data", () => undefined);
        call.write({ message: "notLeader", notLeader: { address: known() } });
        call.end();
      },
      ...failing(names as (keyof typeof coordinatorService & string)[], () => {
        const metadata = new Metadata();
        if (known() !== "") metadata.set(LEADER_KEY, known());
        const leading = known() === "" ? "nobody is known to lead" : `${known()} leads`;
        return new CallError(status.UNAVAILABLE, `this coordinator stands by: ${leading}`, metadata);
      }),
    },
    registry,
    notReady: () => undefined,
  };
}
