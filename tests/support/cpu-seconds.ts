/** Seconds of processor time that something takes here; unlike time on the clock, other processes hardly change it. */
export async function cpuSeconds(act: () => unknown): Promise<number> {
  const start = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}
