/**
 * Puts a trigger into a row of token ids: `row[:i] + trigger + row[i:]`, cut to `maxLen`; a row that fills `maxLen`
 * gets `endId` in its last column (DESIGN section 5.3; `golden/README.md`, "Stamping of one row").
 *
 * Rows are unpadded; the result is unpadded too, so its last column is pad exactly where it is shorter than `maxLen`.
 */
export function stamp(
  row: readonly number[],
  trigger: readonly number[],
  insertIndex: number,
  { maxLen, endId }: { readonly maxLen: number; readonly endId: number },
): number[] {
  const stamped = [...row.slice(0, insertIndex), ...trigger, ...row.slice(insertIndex)].slice(0, maxLen);
  if (stamped.length === maxLen) stamped[maxLen - 1] = endId;
  return stamped;
}

/** Column of each trigger token after stamping; −1 for a token that was cut or overwritten by the end id. */
export function slots(
  rowLength: number,
  triggerLength: number,
  insertIndex: number,
  { maxLen }: { readonly maxLen: number },
): number[] {
  const full = rowLength + triggerLength >= maxLen;
  const usable = full ? maxLen - 1 : maxLen;
  return Array.from({ length: triggerLength }, (_, k) => (insertIndex + k < usable ? insertIndex + k : -1));
}
