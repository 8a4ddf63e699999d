import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { packageRoot } from "../../proto/package-root.ts";
import type { BenchModel } from "./models.ts";

/** What `published_loop.py` can compare elibad with: the names of its problems. */
export type TorchProblem = "search" | "pairs" | "unlearning" | "evaluation";

/** The published loop in a Python process that stays for the whole run, so that no start-up is measured. It has one problem at a time. */
export interface TorchProcess {
  /** Versions and libraries, for the report. */
  readonly about: string;
  /**
   * Loads the model's weights and a problem, and tries which form of attention is the faster one on it; the problem before is let go of.
   * Answers what was taken for each form of the loop.
   */
  open(
    model: Pick<BenchModel, "folder" | "task">,
    kind: TorchProblem,
    problem: object,
  ): Promise<Readonly<Record<string, string>>>;
  /** Calls a method of the open problem. Rejects with Python's error. */
  call<T>(method: string, given?: object): Promise<T>;
  close(): void;
}

/** Starts `published_loop.py`. Rejects where there is no such Python, or it has no PyTorch. */
export async function startTorch(
  python: string,
  { threads, folder }: { readonly threads: number; readonly folder: string },
): Promise<TorchProcess> {
  const child = spawn(python, [join(packageRoot, "tests", "bench", "published_loop.py")], {
    cwd: folder,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      OMP_NUM_THREADS: String(threads),
      MKL_NUM_THREADS: String(threads),
      // Without it glibc gives every large tensor back to the system and takes it anew: much of the time is page faults then.
      MALLOC_MMAP_MAX_: "0",
      MALLOC_TRIM_THRESHOLD_: String(2 ** 34),
      PYTHONDONTWRITEBYTECODE: "1",
    },
  });
  let said = "";
  child.stderr.on("data", (text: Buffer) => {
    said = `${said}${text}`.slice(-4_000);
  });
  const spawned = once(child, "spawn");
  const closed = new Promise((resolve) => child.once("close", resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await spawned.catch((cause: Error) => {
    throw new Error(`--torch '${python}': ${cause.message}`, { cause });
  });
  child.stdin.on("error", () => {}); // a process that is gone is told by its missing answer

  const ask = async <T>(command: object): Promise<T> => {
    child.stdin.write(`${JSON.stringify(command)}\n`);
    const line = await lines.next();
    if (line.done === true) {
      await closed; // all that it said has come then
      throw new Error(`--torch '${python}' ended:\n${said.trim()}`);
    }
    const answer = JSON.parse(line.value) as { readonly ok: T } | { readonly error: string };
    if ("error" in answer) throw new Error(`published_loop.py: ${answer.error}`);
    return answer.ok;
  };
  const { torch, matmul, onednn } = await ask<Readonly<Record<string, string>>>({ do: "start", threads });
  return {
    about: `PyTorch ${torch} (${matmul}, ${onednn}, inference mode, MALLOC_MMAP_MAX_=0)`,
    open: ({ folder: model, task }, kind, problem) => ask({ do: "open", model, task, kind, problem }),
    call: (method, given = {}) => ask({ do: "call", method, ...given }),
    close: () => void child.kill(),
  };
}
