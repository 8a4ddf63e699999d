import type { ExplanationMessage } from "../../proto/sweep-messages.ts";
import type { UsersApi } from "../http/users-api.ts";
import type { SweepBook } from "../sweep/book.ts";
import { type JobId, requireSweep } from "../sweep/sweep.ts";
import { jobResults, jobRows, sweepRow } from "../sweep/views.ts";
import { resultsJson } from "./sweep-results.ts";

/** What a coordinator's HTTP port answers, by the functions that `elibad sweep` is answered by. */
export const usersAnswers = ({
  book,
  ...parts
}: {
  readonly book: Pick<SweepBook, "state">;
  explain(id: JobId): ExplanationMessage;
  workers(): readonly unknown[];
  readonly resultsFolder: string;
}): UsersApi => ({
  sweeps: () => book.state.sweeps.map(sweepRow),
  sweep(name) {
    const sweep = requireSweep(book.state, name);
    return { sweep: sweepRow(sweep), jobs: jobRows(sweep) };
  },
  results: (name) => resultsJson(name, jobResults(requireSweep(book.state, name))),
  ...parts,
});
