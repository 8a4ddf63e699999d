import { runElibad } from "./program.ts";

// A reader that has seen enough (`elibad scan --help | head`) is no error: the command goes on to its end, unheard.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

process.exitCode = await runElibad(process.argv.slice(2));
