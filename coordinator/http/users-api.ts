import type { JobRowMessage, SweepRowMessage } from "../../proto/sweep-messages.ts";
import type { Route } from "./routes.ts";

/** What users may ask a coordinator that keeps sweeps, from the functions that answer `elibad sweep`. Each throws UnknownNameError for a name that it does not know. */
export interface UsersApi {
  sweeps(): readonly SweepRowMessage[];
  sweep(name: string): { readonly sweep: SweepRowMessage; readonly jobs: readonly JobRowMessage[] };
  results(sweep: string): unknown;
  explain(id: { readonly sweep: string; readonly job: string }): unknown;
  workers(): readonly unknown[];
  /** Below it lie the files of jobs, as `SWEEP/JOB/FILE`. */
  readonly resultsFolder: string;
}

/** What stands in the answer to a route, as JSON. */
export function answerOf(route: Exclude<Route, { readonly kind: "file" }>, api: UsersApi): unknown {
  switch (route.kind) {
    case "sweeps":
      return { sweeps: api.sweeps() };
    case "sweep":
      return api.sweep(route.sweep);
    case "results":
      return api.results(route.sweep);
    case "job":
      return api.explain({ sweep: route.sweep, job: route.job });
    case "workers":
      return { workers: api.workers() };
  }
}
