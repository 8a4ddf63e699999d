import { Name } from "../../../sweep/sweep.ts";
import { generalOptions } from "../../common-options.ts";
import { argument, grouped, hostPorts, option } from "../../options.ts";
import { protectionOptions } from "../../protection.ts";

/** What every command about sweeps has. */
export const sweepOptions = {
  ...grouped("Coordinator", {
    coordinator: option(
      "--coordinator <host:port,…>",
      "coordinator that keeps the sweeps (elibad coordinator --state); of several, the one that leads is found",
      hostPorts.default("127.0.0.1:7070"),
    ),
  }),
  ...protectionOptions,
  config: generalOptions.config,
  json: generalOptions.json,
};

export const sweepName = argument("<name>", "the sweep's name", Name);

export const someJobs = argument("[job...]", "only these of its jobs", Name.array().optional());
