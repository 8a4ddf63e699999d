import { runElibad } from "./program.ts";

process.exitCode = await runElibad(process.argv.slice(2));
