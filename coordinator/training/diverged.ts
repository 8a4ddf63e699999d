/** A training whose numbers are not finite any more: says after which step, and what to do. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
}

/** Whether a failure is about numbers that are not finite: workers, and the checks of their results, name such a number. */
export const isDivergence = (error: unknown): boolean =>
  error instanceof Error && /\b(NaN|Infinity|not finite)\b/.test(error.message);

/** A step that a training has taken. */
export interface TakenStep {
  /** What is being trained. */
  readonly phase: string;
  /** Steps taken, this one included. */
  readonly done: number;
  readonly loss: number;
  readonly learningRate: number;
}

/**
 * Runs a training that tells of its steps.
 *
 * @throws DivergedError in place of a failure about numbers that are not finite
 */
export async function namingDivergence<T>(run: (taken: (step: TakenStep) => void) => Promise<T>): Promise<T> {
  let last: TakenStep | undefined;
  try {
    return await run((step) => {
      last = step;
    });
  } catch (cause) {
    // Before the first step the weights are the checkpoint's own.
    if (last === undefined || !isDivergence(cause)) throw cause;
    const { phase, done, loss, learningRate } = last;
    throw new DivergedError(
      `${phase} diverged after step ${done} (loss ${loss}, learning rate ${learningRate}); give a smaller --learning-rate`,
      { cause },
    );
  }
}
