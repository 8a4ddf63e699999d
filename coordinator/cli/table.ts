/** Lines of columns, each as wide as its widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [k, cell] of row.entries()) widths[k] = Math.max(widths[k] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, k) => cell.padEnd(widths[k]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A count with its rate: `97/102 (95.1 %)`; a dash where there is nothing to count. */
export const rateText = (hits: number, n: number): string =>
  n === 0 ? "–" : `${hits}/${n} (${((100 * hits) / n).toFixed(1)} %)`;
