import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { Gauge, Registry } from "prom-client";
import { coordinatorService } from "../../proto/definition.ts";
import { isDialable, LEADER_KEY } from "../../proto/leader.ts";
import type { CoordinatorMessage, WorkerMessage } from "../../proto/messages.ts";
import { collectProcessMetrics } from "../../worker/metrics/process-metrics.ts";
import { CallError, failing } from "./calls.ts";
import type { Role } from "./server.ts";

/**
 * A coordinator that does not lead: it says who does.
 *
 * @param leader its address; empty while nobody is known to lead
 */
export function standbyRole(leader: () => string): Role {
  const known = (): string => {
    const named = leader();
    return isDialable(named) ? named : "";
  };
  const registry = new Registry();
  collectProcessMetrics(registry);
  new Gauge({
    name: "elibad_coordinator_leads",
    help: "1 where this coordinator leads, 0 where it stands by.",
    registers: [registry],
  }).set(0);
  const names = Object.keys(coordinatorService).filter((name) => name !== "Work");
  return {
    get name() {
      const address = known();
      return address === "" ? "standby, nobody is known to lead" : `standby of ${address}`;
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
        const address = known();
        if (address !== "") metadata.set(LEADER_KEY, address);
        const leading = address === "" ? "nobody is known to lead" : `${address} leads`;
        return new CallError(status.UNAVAILABLE, `this coordinator stands by: ${leading}`, metadata);
      }),
    },
    registry,
    get users() {
      return { leader: known() };
    },
    notReady: () => undefined,
  };
}
