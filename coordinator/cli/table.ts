/** Lines of columns, each as wide as its widest cell. Line breaks and what else moves a terminal's cursor stand as escapes: a trigger may have any token. */
export function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(visible));
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

const visible = (cell: string): string =>
  cell.replace(
    /\p{Cc}/gu,
    (control) => SHORT[control] ?? `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A count with its rate: `97/102 (95.1 %)`; a dash where there is nothing to count. */
export const rateText = (hits: number, n: number): string =>
  n === 0 ? "–" : `${hits}/${n} (${((100 * hits) / n).toFixed(1)} %)`;
