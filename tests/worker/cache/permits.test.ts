import { expect, test } from "vitest";
import { Permits } from "../../../worker/cache/permits.ts";

test("no more than the permits run at a time, and waiters in the order in which they came", async () => {
  const permits = new Permits(2);
  const { signal } = new AbortController();
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const work = (k: number) =>
    permits.with(signal, async () => {
      begun.push(k);
      await new Promise<void>((resolve) => ends.push(resolve));
    });
  const all = [0, 1, 2, 3].map(work);
  await Promise.resolve();
  expect(begun).toEqual([0, 1]);
  ends[0]!();
  await all[0];
  await Promise.resolve();
  expect(begun).toEqual([0, 1, 2]);
  ends[1]!();
  ends[2]!();
  await Promise.all(all.slice(0, 3));
  ends[3]!();
  await all[3];
  expect(begun).toEqual([0, 1, 2, 3]);
});

test("who stops waiting is gone at once, and takes no permit", async () => {
  const permits = new Permits(1);
  let end = () => {};
  const first = permits.with(
    new AbortController().signal,
    () => new Promise<void>((resolve) => (end = resolve)),
  );
  const leaving = new AbortController();
  const left = permits.with(leaving.signal, async () => "never");
  const next = permits.with(new AbortController().signal, async () => "next");
  leaving.abort(new Error("no more"));
  await expect(left).rejects.toThrow("no more");
  end();
  await first;
  expect(await next).toBe("next");
});
