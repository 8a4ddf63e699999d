import { randomBytes } from "node:crypto";
import { availableParallelism, homedir, hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { packageRoot } from "../proto/package-root.ts";
import { SUBJECT_TOKEN } from "../proto/subjects.ts";
import { DEVICES } from "./device-names.ts";
import { FORMS } from "./form-names.ts";
import { LOG_LEVELS } from "./logging.ts";
import { memoryLimit } from "./memory-limit.ts";

/** What a worker is told. Everything but the coordinators, and how they are connected to, has a default. */
export const WorkerOptionsSchema = z.strictObject({
  /** Addresses (`host:port`) that are tried in turn. */
  coordinators: z.array(z.string().regex(/^\S+:\S+$/, "host:port")).min(1),
  /** PEM files that it connects with; or plain text, to coordinators of this machine only. */
  protection: z.union([
    z.literal("plain"),
    z.strictObject({ cert: z.string().min(1), key: z.string().min(1), ca: z.string().min(1) }),
  ]),
  /** File of the CAs that certificates of NATS servers come from. */
  natsCa: z.string().min(1).optional(),
  /** The name that it asks coordinators for, a token of a NATS subject; unique among the workers that live where ids are not proven. */
  id: z.string().regex(SUBJECT_TOKEN, "1 to 64 letters, digits, _ and -").default(newWorkerId),
  device: z.enum(DEVICES).default("cpu"),
  /** Form of programs that it offers beside the primitive one; see `FORMS`. */
  form: z.enum(FORMS).default("primitive"),
  /** Intra-op threads of the inference child. */
  threads: z.number().int().min(1).max(1024).default(availableParallelism),
  /** Folder of artifacts; workers of one machine may share it. */
  cacheFolder: z.string().min(1).default(defaultCacheFolder),
  /** Where a volume of models that the coordinator sees, too, is mounted here; its files are used where they lie. */
  models: z.string().min(1).optional(),
  cacheBytes: z
    .number()
    .int()
    .positive()
    .default(50 * 2 ** 30),
  /** Memory that the inference child may use. */
  memoryBytes: z.number().int().positive().default(memoryLimit),
  /** Leases to hold at once: one runs, one waits in the child, the others' artifacts are being fetched. */
  leases: z.number().int().min(1).max(256).default(4),
  /** Bounds on results that are not accepted yet: above them the worker asks for no more leases. */
  outboxResults: z.number().int().min(1).default(64),
  outboxBytes: z
    .number()
    .int()
    .positive()
    .default(2 * 2 ** 30),
  /** A result that is not accepted after this time is sent again. */
  resendMs: z.number().int().positive().default(15_000),
  /** The inference child is replaced after this many checkpoints. */
  recycleCheckpoints: z.number().int().min(1).default(16),
  /** An inference child that is silent for this long during one operation counts as dead. */
  operationTimeoutMs: z.number().int().positive().default(600_000),
  /** Ends when stdin does: set by commands that start workers, so that a worker does not outlive its command. */
  endWithStdin: z.boolean().default(false),
  /** Time to finish and give back on SIGTERM. */
  drainMs: z.number().int().nonnegative().default(10_000),
  metricsHost: z.string().default("127.0.0.1"),
  /** No metrics where absent; 0 takes a free port. */
  metricsPort: z.number().int().min(0).max(65_535).optional(),
  logLevel: z.enum([...LOG_LEVELS, "silent"]).default("info"),
  logFormat: z.enum(["plain", "json"]).default("plain"),
  /** Compiled module that runs as inference child; tests put other engines in. */
  childEntry: z.string().default(join(packageRoot, "dist", "worker", "child", "main.js")),
  engineOptions: z.record(z.string(), z.unknown()).default({}),
});

/** As given. */
export type WorkerOptions = z.input<typeof WorkerOptionsSchema>;
/** With defaults. */
export type CompiledWorkerOptions = z.output<typeof WorkerOptionsSchema>;

/** An option that cannot be used; the message names it and its value. */
export class WorkerOptionsError extends Error {
  override readonly name = "WorkerOptionsError";
}

/** @throws WorkerOptionsError */
export function compileWorkerOptions(options: unknown): CompiledWorkerOptions {
  const parsed = WorkerOptionsSchema.safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const value = issue?.path.reduce<unknown>((inner, key) => (inner as never)?.[key], options);
  throw new WorkerOptionsError(
    `worker option ${issue?.path.join(".") || "(all)"}: ${issue?.message} (given: ${JSON.stringify(value)})`,
  );
}

function newWorkerId(): string {
  const host = hostname()
    .split(".")[0]
    ?.replaceAll(/[^A-Za-z0-9_-]/g, "_")
    .slice(0, 40);
  return `${host}-${process.pid}-${randomBytes(3).toString("hex")}`;
}

function defaultCacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const base =
    XDG_CACHE_HOME ||
    (process.platform === "win32" && LOCALAPPDATA) ||
    (process.platform === "darwin" ? join(homedir(), "Library", "Caches") : join(homedir(), ".cache"));
  return join(base, "elibad", "artifacts");
}
