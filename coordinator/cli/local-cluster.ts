import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Executor } from "../../proto/operations.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import type { CommandContext } from "./command.ts";
import type { clusterOptions } from "./common-options.ts";
import type { Parsed } from "./options.ts";

export async function withLocalCluster<T>(
  _options: Parsed<typeof clusterOptions>,
  _context: CommandContext,
  work: (executor: Executor) => Promise<T>,
): Promise<T> {
  const executor = await createLocalExecutor({ folder: mkdtempSync(join(tmpdir(), "elibad-")), threads: 2 });
  try {
    return await work(executor);
  } finally {
    await executor.close();
  }
}
