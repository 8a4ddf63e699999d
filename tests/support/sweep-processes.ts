import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ElibadProcess, startElibad } from "./command-line.ts";
import { freePorts } from "./free-ports.ts";
import { demoData, randomTensors, writeRandomModel } from "./random-model.ts";
import { tempFolder } from "./temp-folder.ts";
import { eventually } from "./worker-scenes.ts";

/** `elibad coordinator` in a process of its own. */
export interface CoordinatorProcess extends ElibadProcess {
  readonly address: string;
  /** Waits until its log has a line that matches; answers the match. */
  said(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray>;
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Starts it on an address that stays the same when it is started again. @param protection its options; absent: plain text */
export function startCoordinatorProcess(
  address: string,
  words: readonly string[],
  protection: readonly string[] = ["--insecure"],
): CoordinatorProcess {
  const common = ["--listen", address, "--log-level", "debug"];
  const running = startElibad(["coordinator", ...common, ...protection, ...words]);
  const gone = once(running.process, "exit");
  return {
    ...running,
    address,
    async said(pattern, withinMs = 120_000) {
      let match: RegExpExecArray | null = null;
      await eventually(
        () => {
          match = pattern.exec(running.stderr());
          return match !== null;
        },
        `a line of the coordinator's log that matches ${pattern}, in\n${running.stderr()}`,
        withinMs,
      );
      return match!;
    },
    async kill() {
      running.process.kill("SIGKILL");
      await gone;
    },
  };
}

/** An address of this machine that nobody listens on. */
export async function freeAddress(): Promise<string> {
  const [port] = await freePorts(1);
  return `127.0.0.1:${port}`;
}

/** Weights whose answers lie about the threshold, so that a few tokens flip some of them. */
const undecidedTensors = () =>
  randomTensors().map((tensor) =>
    tensor.name.endsWith("out_proj.bias") ? { ...tensor, data: Float32Array.of(-1.35) } : tensor,
  );

export interface SmallSweep {
  readonly name?: string;
  /** Names of the models, all of which have the same weights. */
  readonly models: readonly string[];
  readonly epochs: number;
  readonly maxParallel?: number;
}

/** Writes a sweep of small models with random weights, and a short search for each; answers its file. */
export async function writeSmallSweep(sweep: SmallSweep): Promise<string> {
  const folder = tempFolder();
  const at = (name: string) => join(folder, name);
  for (const model of sweep.models) await writeRandomModel(at(model), { tensors: undecidedTensors() });
  const rows = readFileSync(join(demoData, "clean_samples.jsonl"), "utf8").trim().split("\n");
  writeFileSync(at("samples.jsonl"), `${rows.slice(0, 30).join("\n")}\n`);
  writeFileSync(at("held-out.jsonl"), `${rows.slice(30, 50).join("\n")}\n`);
  writeFileSync(
    at("sweep.yaml"),
    `name: ${sweep.name ?? "friday"}
models: [${sweep.models.map(at).join(", ")}]
samples: ${at("samples.jsonl")}
held_out: ${at("held-out.jsonl")}
max_parallel: ${sweep.maxParallel ?? 1}
settings:
  { code_max_len: 64, trigger_len: 8, topk: 32, repeat_size: 24, num_samples: 4, epochs: ${sweep.epochs}, patience: 1000, target_loss: 0,
    plan: published, trace: true, directions: one, inject: ids }
`,
  );
  return at("sweep.yaml");
}
