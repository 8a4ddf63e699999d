/** The `count` ids of lowest value, lowest first; of equal values the lower id comes first. `ids` ascend. */
export function lowest(ids: readonly number[], value: (id: number) => number, count: number): number[] {
  // A sorted list of the best so far: most ids fail the first comparison, so this is one pass.
  const best: { id: number; value: number }[] = [];
  for (const id of ids) {
    const own = value(id);
    if (best.length === count && own >= best[count - 1]!.value) continue;
    let at = best.length;
    while (at > 0 && best[at - 1]!.value > own) at--;
    best.splice(at, 0, { id, value: own });
    if (best.length > count) best.pop();
  }
  return best.map(({ id }) => id);
}
