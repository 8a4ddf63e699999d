import type { DeviceClass } from "../../proto/messages.ts";
import type { Operation, ProgramForm } from "../../proto/operations.ts";
import type { EngineResult } from "../runtime/engine.ts";
import { answerDone, answerFailed } from "./answer.ts";
import type { Answer, ChildOptions, FromChild, Run, ToChild } from "./messages.ts";
import { dieWithParent } from "./parent-watch.ts";

/** What an inference child computes with. A run may block the process: nothing else happens in it. */
export interface ChildEngine {
  readonly deviceClass: DeviceClass;
  /** See `ReadyDevice`; absent: none. */
  readonly elsewhere?: readonly string[];
  /** Forms of programs that are right on the device; absent: the primitive one. */
  readonly forms?: readonly ProgramForm[];
  /** @throws OperationFailed, or any error; see `isRetryable`. */
  run(operation: Operation, partDone: () => Promise<void>): Promise<EngineResult>;
}

/** An operation that takes less is answered together with the next ones of its sort: a message would cost as much. */
const SHORT_MS = 1;

/**
 * The body of an inference child: takes operations from its supervisor one after the other and answers each. It ends when
 * the supervisor ends it, or is gone.
 */
export async function serveChild(
  createEngine: (options: ChildOptions) => Promise<ChildEngine>,
): Promise<void> {
  dieWithParent();
  const options = JSON.parse(process.argv[2] ?? "{}") as ChildOptions;
  const waiting: Run[] = [];
  let wake = () => {};
  // Listened to from the start, so that nothing which comes while the engine loads is lost.
  process.on("message", (message: ToChild) => {
    if (message.kind === "run") waiting.push(...message.runs);
    else remove(waiting, message.ticket);
    wake();
  });

  let engine: ChildEngine;
  try {
    engine = await createEngine(options);
  } catch (error) {
    await send({ kind: "unusable", message: (error as Error).message });
    process.exit(1);
  }
  const { deviceClass, elsewhere = [], forms = ["primitive"] } = engine;
  await send({ kind: "ready", device: { deviceClass, elsewhere, forms } });

  const answerTo = ({ ticket, operation }: Run) =>
    engine
      .run(operation, () => send({ kind: "part-done" }))
      .then((result) => answerDone(ticket, result, options))
      .catch((error: unknown) => answerFailed(ticket, error));

  let answers: Answer[] = [];
  for (;;) {
    const next = waiting.shift();
    if (!next) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    const startedAt = performance.now();
    answers.push(await answerTo(next));
    const isShort = performance.now() - startedAt < SHORT_MS;
    if (isShort && waiting[0] && isAlike(next.operation, waiting[0].operation)) continue;
    // Sent whole before the next run, which would block the pipe.
    await send({ kind: "finished", answers, rssBytes: process.memoryUsage.rss() });
    answers = [];
    // What came during the run is read now, a Skip of the next operation among it.
    if (waiting.length > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

const isAlike = (a: Operation, b: Operation): boolean => a.kind === b.kind && a.checkpoint === b.checkpoint;

function remove(waiting: Run[], ticket: number): void {
  const index = waiting.findIndex((each) => each.ticket === ticket);
  if (index >= 0) waiting.splice(index, 1);
}

function send(message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    // A supervisor that is gone is `dieWithParent`'s matter.
    if (!process.send?.(message, undefined, undefined, () => resolve())) resolve();
  });
}
