import type { CommandGroup, CommandSpec } from "../../command.ts";
import { cancel } from "./cancel.ts";
import { explain } from "./explain.ts";
import { list } from "./list.ts";
import { remove } from "./remove.ts";
import { results } from "./results.ts";
import { retry } from "./retry.ts";
import { submit } from "./submit.ts";
import { watch } from "./watch.ts";

export const sweep: CommandGroup = {
  name: "sweep",
  summary: "many models at once, on a coordinator that loses nothing",
  help: `
A sweep is many models of one task. A coordinator that was started with --state works on its jobs with all workers that dial it, and goes on where it was after any end. So a sweep is submitted and
left; it may be watched, and its results read, whenever one likes. On one machine, in plain text (--insecure); from elsewhere coordinator, tls_cert, tls_key and tls_ca may stand in a file
for --config:

  elibad coordinator --state elibad-state --insecure &
  elibad worker --coordinator 127.0.0.1:7070 --insecure &
  elibad sweep submit friday.yaml --watch --insecure
  elibad sweep results friday --insecure`,
  subcommands: [
    submit,
    list,
    watch,
    cancel,
    retry,
    results,
    explain,
    remove,
  ] as unknown as readonly CommandSpec[],
};
