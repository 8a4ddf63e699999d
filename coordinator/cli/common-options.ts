import { DEVICES } from "../../worker/device-names.ts";
import type { ClassifierTask } from "../search/scan-result.ts";
import {
  flag,
  grouped,
  hostPort,
  hostPorts,
  oneOf,
  onlyFor,
  option,
  optionalPath,
  pathOption,
  text,
  wholeNumber,
} from "./options.ts";
import { protectionOptions } from "./protection.ts";

/** Tasks whose models answer with a label. */
export const classifiers = [
  "defect_detection",
  "clone_detection",
] as const satisfies readonly ClassifierTask[];

/** Options that mean the same in every command that has them (DESIGN section 10). */
export const generalOptions = {
  config: optionalPath(
    "--config <file>",
    "YAML file with options, see configs/: every option has a key there (--trigger-len is trigger_len); also the published code's settings; the command line wins",
  ),
  json: option("--json", "print the result as JSON on stdout, and no progress", flag),
};

export const modelOptions = grouped("Model and samples", {
  model: pathOption(
    "--model <dir>",
    "checkpoint folder: model.bin, pytorch_model.bin or model.safetensors (also sharded), with config.json; or a LoRA adapter folder",
  ),
  base: optionalPath(
    "--base <dir>",
    "folder with config.json and tokenizer, where the checkpoint folder lacks them; with an adapter, the checkpoint that it is over",
  ),
  task: option(
    "--task <task>",
    "what the model decides",
    oneOf("defect_detection").default("defect_detection"),
  ),
  arch: option(
    "--arch <name>",
    "model family: a tokenizer of another one is refused; codebert and roberta differ in the blanks beside special tokens",
    oneOf("codebert", "unixcoder", "roberta", "codet5", "starcoder").optional(),
    "found from the folder's files",
  ),
  codeMaxLen: option(
    "--code-max-len <tokens>",
    "longest row in tokens, both end tokens included",
    wholeNumber(8, 100_000).default(400),
  ),
});

export const outOption = grouped("Output", {
  out: pathOption("--out <dir>", "new folder for what the command writes"),
});

export const seedOption = {
  seed: option("--seed <n>", "seed of every random draw", wholeNumber(0, 2 ** 32 - 1).default(123456)),
};

export const deviceOption = option(
  "--device <name>",
  "what workers compute on; auto takes a GPU that gives what the CPU gives and is faster, else the CPU (docs/devices.md)",
  oneOf(...DEVICES).default("cpu"),
);

/** Where the work is done: by default on worker processes that the command starts on this machine. */
export const clusterOptions = grouped("Where it runs", {
  workers: option(
    "--workers <n>",
    "worker processes to start here; 0 waits for workers that dial --listen",
    wholeNumber(0, 256).default(1),
  ),
  threads: option(
    "--threads <n>",
    "CPU threads of each worker's inference process",
    wholeNumber(1, 1024).optional(),
    "the cores, shared among --workers",
  ),
  device: deviceOption,
  listen: option(
    "--listen <host:port>",
    "address of this machine for workers that dial it with --insecure; port 0 takes a free one",
    hostPort.default("127.0.0.1:0"),
  ),
  nats: option(
    "--nats <url>",
    "gather results through this NATS JetStream server",
    text.optional(),
    "over the workers' own streams",
  ),
  metricsPort: option(
    "--metrics-port <port>",
    "serve /metrics, /healthz and /readyz there while the command runs",
    wholeNumber(0, 65_535).optional(),
  ),
  coordinator: option(
    "--coordinator <host:port,…>",
    "let a running `elibad coordinator` do it, with its workers; paths are then those of its machine; of several, the one that leads",
    hostPorts.optional(),
  ),
  ...protectionOptions,
});

/** A trigger put into code as text, for ASR and poisoning. */
export const attackOptions = grouped("Attack", {
  attackPosition: option(
    "--attack-position <where>",
    "where the trigger goes: at the function's name, at its first variable, between two words at random, or (snippet) behind the first {",
    oneOf("func_name", "variable", "random", "snippet").default("func_name"),
  ),
  attackPattern: option(
    "--attack-pattern <how>",
    "at a name: substitute it, or postfix it (name_trigger); elsewhere: insert",
    oneOf("substitute", "postfix", "insert").default("substitute"),
  ),
  victimLabel: onlyFor(
    classifiers,
    option(
      "--victim-label <label>",
      "label of the rows that the trigger goes into; not in code_search",
      wholeNumber(0, 1000).optional(),
      "1",
    ),
  ),
  targetLabel: onlyFor(
    classifiers,
    option(
      "--target-label <label>",
      "label that the trigger is to bring about; not in code_search",
      wholeNumber(0, 1000).optional(),
      "0",
    ),
  ),
});

/** Options of the programs that run until they are told to stop. */
export const serviceOptions = {
  metricsPort: option(
    "--metrics-port <port>",
    "serve /metrics, /healthz and /readyz there",
    wholeNumber(0, 65_535).optional(),
  ),
  metricsHost: option(
    "--metrics-host <address>",
    "address of --metrics-port: 0.0.0.0 where others look at it, as in a container",
    text.regex(/^[^\s/]+$/, "must be an address").default("127.0.0.1"),
  ),
  logLevel: option(
    "--log-level <level>",
    "how much to say",
    oneOf("debug", "info", "warn", "error").default("info"),
  ),
  log: option("--log <format>", "form of log lines", oneOf("plain", "json").default("plain")),
  config: generalOptions.config,
};
