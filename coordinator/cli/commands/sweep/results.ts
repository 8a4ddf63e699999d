import type { JobResultMessage } from "../../../../proto/sweep-messages.ts";
import { defineCommand } from "../../command.ts";
import { callingLeader } from "../../leader-calls.ts";
import { oneOf, option } from "../../options.ts";
import { eachOf } from "../../sweep-client.ts";
import { resultsCsv, resultsJson, resultsTable } from "../../sweep-results.ts";
import { sweepName, sweepOptions } from "./options.ts";

export const results = defineCommand({
  name: "results",
  summary: "show what came out of a sweep's jobs, also of one that is not over",
  help: `
The table has a line for each search of each job. csv has the same with every number, json all that the coordinator knows: for each job its state, and the report that also lies in
results/SWEEP/MODEL/report.json below the coordinator's --state, beside result.json, repaired/ and repair.json as elibad clean writes them.
Found triggers are reported, not judged: clean models have invertible triggers too.

  elibad sweep results friday --insecure
  elibad sweep results friday --format csv --insecure > friday.csv`,
  options: {
    name: sweepName,
    format: option(
      "--format <form>",
      "table for people, json or csv for programs (--json is --format json)",
      oneOf("table", "json", "csv").default("table"),
    ),
    ...sweepOptions,
  },
  async run({ name, format, json, ...place }, { signal }) {
    const found = await callingLeader(place, signal, (calls) =>
      calls.with(async (client) => {
        const all: JobResultMessage[] = [];
        await eachOf(client.sweepResults({ sweep: name }), signal, (some) => void all.push(...some.results));
        return all;
      }),
    );
    if (json) return resultsJson(name, found);
    const texts = {
      table: () => resultsTable(found),
      json: () => JSON.stringify(resultsJson(name, found), null, 2),
      csv: () => resultsCsv(name, found),
    };
    return texts[format]();
  },
  show: (text: string) => text,
});
