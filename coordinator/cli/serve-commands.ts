import type { Logger } from "pino";
import type { CommandEvent } from "../../proto/messages.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import type { Coordinator } from "../coordinator.ts";
import type { SubmitHandler } from "../dispatch/submit-service.ts";
import { ANSWER_BYTES } from "../search/predict.ts";
import { clusterCommands } from "./commands/cluster-commands.ts";
import { EXIT, exitCodeOf, messageOf } from "./errors.ts";
import { parseOptions } from "./parse-options.ts";

/** Commands that clients submit, run on this coordinator's workers. */
export interface CommandService {
  readonly submit: SubmitHandler;
  /** Says what commands run on, once the coordinator runs. */
  useCoordinator(coordinator: Pick<Coordinator, "newExecutor" | "metrics">): void;
  /** Cancels what still runs and waits until it has ended. */
  close(): Promise<void>;
}

export function serveCommands(logger: Pick<Logger, "info" | "warn">): CommandService {
  const closing = new AbortController();
  const running = new Set<Promise<void>>();
  let coordinator: Pick<Coordinator, "newExecutor" | "metrics"> | undefined;

  const run: SubmitHandler = async ({ command, optionsJson }, emit, signal) => {
    const spec = clusterCommands.find(({ name }) => name === command);
    const fail = (message: string, exitCode: number): void =>
      emit({ event: "failed", failed: { message, exitCode } });
    if (spec === undefined) {
      const known = clusterCommands.map(({ name }) => name).join(", ");
      return fail(`a coordinator does not run '${command}'; it runs ${known}`, EXIT.wrongInput);
    }
    if (coordinator === undefined) return fail("the coordinator is still starting", EXIT.failed);
    const display = {
      progress: (event: unknown) => emit({ event: "progressJson", progressJson: JSON.stringify(event) }),
      line: (line: string) => emit({ event: "line", line }),
      close: () => undefined,
    };
    logger.info(`${command} begins`);
    const executor = coordinator.newExecutor();
    try {
      const options = parseOptions(spec.options, JSON.parse(optionsJson) as Record<string, unknown>);
      await spec.check?.(options);
      const result = await spec.compute(options, {
        executor,
        meter: coordinator.metrics,
        answers: new VectorCache(ANSWER_BYTES),
        display,
        signal: AbortSignal.any([signal, closing.signal]),
      });
      emit({ event: "resultJson", resultJson: JSON.stringify(result ?? null) } satisfies CommandEvent);
      logger.info(`${command} is done`);
    } catch (error) {
      logger.warn(`${command} failed: ${messageOf(error)}`);
      fail(messageOf(error), exitCodeOf(error));
    } finally {
      await executor.close();
    }
  };

  return {
    submit(request, emit, signal) {
      const work = run(request, emit, signal);
      running.add(work);
      return work.finally(() => running.delete(work));
    },
    useCoordinator(running) {
      coordinator = running;
    },
    async close() {
      closing.abort();
      await Promise.allSettled(running);
    },
  };
}
