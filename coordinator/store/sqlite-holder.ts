import { createRequire } from "node:module";
import { hostname } from "node:os";
import { Worker } from "node:worker_threads";
import { isAlive } from "../../proto/is-alive.ts";
import { Holder } from "./errors.ts";

/**
 * Who has a file that somebody has; undefined where that cannot be read, or is a process that ended: then it is some other
 * program that looks into the file. On a thread of its own, since a statement in this one would keep a lock.
 */
export async function readHolder(file: string): Promise<Holder | undefined> {
  const library = createRequire(import.meta.url).resolve("libsql");
  const worker = new Worker(READ, { eval: true, workerData: { library, file } });
  const text = await new Promise<unknown>((resolve) => {
    worker.once("message", resolve);
    worker.once("error", () => resolve(undefined));
    worker.once("exit", () => resolve(undefined));
  });
  await worker.terminate();
  try {
    const holder = Holder.parse(JSON.parse(String(text)));
    return holder.host === hostname() && !isAlive(holder.pid) ? undefined : holder;
  } catch {
    return undefined;
  }
}

const READ = `
const { parentPort, workerData } = require("node:worker_threads");
const Database = require(workerData.library);
const [row] = new Database(workerData.file).prepare("SELECT CAST(holder AS BLOB) AS holder FROM meta").all();
parentPort.postMessage(new TextDecoder().decode(row.holder));
`;
