/** What a piece of work took, in seconds. */
export interface Time {
  readonly wall: number;
  /** Of all cores together. Other programs on the machine hardly change it, so ratios of it hold where those of `wall` do not. */
  readonly processor: number;
}

/** Starts to measure; the answer says what was taken since, threads of this process included. */
export function startClock(): () => Time {
  const processorBefore = process.cpuUsage();
  const startedAt = performance.now();
  return () => {
    const wall = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(processorBefore);
    return { wall, processor: (user + system) / 1e6 };
  };
}

/** The time of work in this process. */
export async function timeOf(work: () => unknown): Promise<Time> {
  const clock = startClock();
  await work();
  return clock();
}

export const NO_TIME: Time = { wall: 0, processor: 0 };

/** `a + factor · b`, of both times. */
export const plus = (a: Time, b: Time, factor = 1): Time => ({
  wall: a.wall + factor * b.wall,
  processor: a.processor + factor * b.processor,
});
