/** gRPC takes messages of up to 4 MiB. */
const PORTION_BYTES = 1024 ** 2;

/** Items in messages of about 1 MiB, or one where a single item is larger; one empty portion where there is none. */
export function portions<T>(items: readonly T[], bytesOf: (item: T) => number): T[][] {
  const all: T[][] = [[]];
  let bytes = 0;
  for (const item of items) {
    const more = bytesOf(item);
    if (bytes > 0 && bytes + more > PORTION_BYTES) {
      all.push([]);
      bytes = 0;
    }
    bytes += more;
    all.at(-1)!.push(item);
  }
  return all;
}
