import type { OperationMessage } from "../../proto/messages.ts";
import type { Digest, Operation, OperationResult } from "../../proto/operations.ts";
import { resultsAgree } from "./agree.ts";
import type { CheckOutcome } from "./events.ts";
import type { OperationKey } from "./state.ts";

interface Checked {
  readonly operation: Operation;
  readonly message: OperationMessage;
  /** Those that do not agree with each other; the first one was used. */
  readonly answers: OperationResult[];
  readonly watchers: ((outcome: CheckOutcome) => void)[];
}

export interface CheckDeskOptions {
  /** An artifact is needed by somebody, until it is let go of. */
  readonly hold?: (artifact: Digest, holder: string) => void;
  readonly release?: (artifact: Digest, holder: string) => void;
}

/** What the results that are being checked are compared with, and who waits to hear of it. */
export class CheckDesk {
  readonly #options: CheckDeskOptions;
  readonly #checked = new Map<OperationKey, Checked>();

  constructor(options: CheckDeskOptions) {
    this.#options = options;
  }

  begin(key: OperationKey, operation: Operation, message: OperationMessage, used: OperationResult): void {
    this.#checked.set(key, { operation, message, answers: [used], watchers: [] });
    // A step's own artifacts are let go of with the step.
    for (const digest of inputsOf(operation)) this.#options.hold?.(digest, key);
  }

  of(key: OperationKey): Pick<Checked, "operation" | "message"> | undefined {
    return this.#checked.get(key);
  }

  /** The number of the answer that a result agrees with, or of a new one; undefined where the key is no check's. */
  answerOf(key: OperationKey, deviceClass: string, result: OperationResult): number | undefined {
    const checked = this.#checked.get(key);
    if (!checked) return undefined;
    const { operation, answers } = checked;
    const known = answers.findIndex((answer) => resultsAgree(operation, deviceClass, answer, result));
    return known >= 0 ? known : answers.push(result) - 1;
  }

  /** What a check came to, once it is over. */
  whenOver(key: OperationKey): Promise<CheckOutcome> {
    const checked = this.#checked.get(key);
    if (!checked) return Promise.resolve("closed");
    return new Promise((resolve) => checked.watchers.push(resolve));
  }

  end(key: OperationKey, outcome: CheckOutcome): Operation {
    const { operation, watchers } = this.#checked.get(key)!;
    this.#checked.delete(key);
    for (const digest of inputsOf(operation)) this.#options.release?.(digest, key);
    for (const watcher of watchers) watcher(outcome);
    return operation;
  }
}

const INPUTS = ["samples", "weights", "vocabulary", "codes", "queries"] as const;

/** Artifacts that an operation names, beside its checkpoint. */
function inputsOf(operation: Operation): Digest[] {
  const named = operation as Partial<Record<(typeof INPUTS)[number], Digest>>;
  const inputs = INPUTS.flatMap((input) => named[input] ?? []);
  if (operation.kind !== "train-run") return inputs;
  const { weights, moments } = operation.state;
  return [...inputs, weights, ...(moments ? [moments.means, moments.squares] : [])];
}
