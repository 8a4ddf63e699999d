import type { Logger } from "pino";
import type { CommandEvent } from "../../proto/messages.ts";
import type { ProgramForm } from "../../proto/operations.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import { Permits } from "../../worker/cache/permits.ts";
import { isJsonObject, parseStrictJson } from "../../worker/checkpoint/strict-json.ts";
import type { Coordinator } from "../coordinator.ts";
import type { SubmitHandler } from "../dispatch/submit-service.ts";
import { ANSWER_BYTES } from "../search/predict.ts";
import { clusterCommands } from "./commands/cluster-commands.ts";
import { EXIT, exitCodeOf, InputError, messageOf } from "./errors.ts";
import { parseOptions } from "./parse-options.ts";

/** Commands that clients submit, run on this coordinator's workers. */
export interface CommandService {
  readonly submit: SubmitHandler;
  /** Says what commands run on, once the coordinator runs. */
  useCoordinator(coordinator: Pick<Coordinator, "newExecutor" | "metrics">): void;
  /** Cancels what still runs and waits until it has ended. */
  close(): Promise<void>;
}

/** Commands that run or wait; more would be a client that went wrong. */
const MAX_COMMANDS = 1_000;
/** Of a command's options, without what they name. */
const MAX_OPTIONS_CHARACTERS = 256 * 1024;

/** Lists within one another; an option is a word, a number, or a list of them. */
const MAX_OPTIONS_DEPTH = 16;

const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1)));

/** @throws InputError */
function optionsOf(json: string): Record<string, unknown> {
  if (json.length > MAX_OPTIONS_CHARACTERS)
    throw new InputError(`options_json: ${json.length} characters, at most ${MAX_OPTIONS_CHARACTERS}`);
  let options: unknown;
  try {
    options = parseStrictJson(Buffer.from(json));
  } catch (error) {
    throw new InputError(`options_json: ${(error as Error).message}`);
  }
  if (!isJsonObject(options)) throw new InputError("options_json: must be a JSON object");
  if (isDeeper(options, MAX_OPTIONS_DEPTH))
    throw new InputError(`options_json: lists and objects more than ${MAX_OPTIONS_DEPTH} deep`);
  return options;
}

/** @param atOnce how many run at a time; the others wait in the order in which they came, as no more than their options */
export function serveCommands(logger: Pick<Logger, "info" | "warn">, atOnce: number): CommandService {
  const permits = new Permits(atOnce);
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
    const { newExecutor, metrics: meter } = coordinator;
    const either = AbortSignal.any([signal, closing.signal]);
    const compute = async (): Promise<unknown> => {
      logger.info(`${command} begins`);
      const options = parseOptions(spec.options, optionsOf(optionsJson));
      await spec.check?.(options);
      const { programForm } = options as { readonly programForm?: ProgramForm };
      const executor = newExecutor(programForm === undefined ? {} : { forms: [programForm] });
      try {
        const answers = new VectorCache(ANSWER_BYTES / atOnce);
        const result = await spec.compute(options, { executor, meter, answers, display, signal: either });
        // A result is one when nothing that it was computed from is being checked any more.
        await executor.provenance.settled(either);
        return result;
      } finally {
        await executor.close();
      }
    };
    if (running.size > MAX_COMMANDS)
      return fail(`${MAX_COMMANDS} commands wait here already: submit it later`, EXIT.failed);
    try {
      if (permits.free === 0)
        emit({ event: "line", line: `waiting: the coordinator runs ${atOnce} commands at a time` });
      const result = await permits.with(either, compute);
      emit({ event: "resultJson", resultJson: JSON.stringify(result ?? null) } satisfies CommandEvent);
      logger.info(`${command} is done`);
    } catch (error) {
      logger.warn(`${command} failed: ${messageOf(error)}`);
      fail(messageOf(error), exitCodeOf(error));
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
