/**
 * A dimension: a number, or a symbol that is bound when the program runs ("B", "T"), or a polynomial of symbols
 * in one canonical spelling ("B*T", "T+3", "2*T-1"), so that equal dimensions are equal strings.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** Product of symbols (sorted, joined by "*"; "" for the constant term) → integer coefficient. */
type Polynomial = ReadonlyMap<string, number>;

export const isSymbol = (dim: Dim): dim is string =>
  typeof dim === "string" && /^[A-Za-z_][A-Za-z0-9_./]*$/.test(dim);

function parse(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map(dim === 0 ? [] : [["", dim]]);
  const terms = new Map<string, number>();
  for (const term of dim.split(/(?=[+-])/)) {
    const sign = term.startsWith("-") ? -1 : 1;
    const factors = term.replace(/^[+-]/, "").split("*");
    const symbols = factors.filter((factor) => !/^\d+$/.test(factor));
    const coefficient = factors
      .filter((factor) => /^\d+$/.test(factor))
      .reduce((p, f) => p * Number(f), sign);
    const key = symbols.sort().join("*");
    terms.set(key, (terms.get(key) ?? 0) + coefficient);
  }
  return terms;
}

function print(terms: Polynomial): Dim {
  const kept = [...terms].filter(([, coefficient]) => coefficient !== 0);
  if (kept.every(([key]) => key === "")) return kept[0]?.[1] ?? 0;
  // Symbolic terms by name, the constant last: "B*T+T-1".
  kept.sort(([a], [b]) => (a === "" ? 1 : b === "" ? -1 : a < b ? -1 : 1));
  const text = kept.map(([key, coefficient]) => {
    const size = Math.abs(coefficient);
    const factors = [...(size === 1 && key !== "" ? [] : [String(size)]), ...(key === "" ? [] : [key])];
    return (coefficient < 0 ? "-" : "+") + factors.join("*");
  });
  return text.join("").replace(/^\+/, "");
}

/** The canonical spelling of a dimension written by hand: "T*B" becomes "B*T". */
export const canonicalDim = (dim: Dim): Dim => print(parse(dim));

export function addDims(a: Dim, b: Dim): Dim {
  const sum = new Map(parse(a));
  for (const [key, coefficient] of parse(b)) sum.set(key, (sum.get(key) ?? 0) + coefficient);
  return print(sum);
}

export function mulDims(a: Dim, b: Dim): Dim {
  const product = new Map<string, number>();
  for (const [keyA, coefficientA] of parse(a)) {
    for (const [keyB, coefficientB] of parse(b)) {
      const key = [...keyA.split("*"), ...keyB.split("*")].filter(Boolean).sort().join("*");
      product.set(key, (product.get(key) ?? 0) + coefficientA * coefficientB);
    }
  }
  return print(product);
}

export const subDims = (a: Dim, b: Dim): Dim => addDims(a, mulDims(b, -1));

/** a / b where b is one term that divides every term of a; otherwise undefined. */
export function divDims(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return a === 0 ? undefined : 1;
  const [divisor, ...others] = [...parse(b)];
  if (divisor === undefined || others.length > 0) return undefined;
  const quotient = new Map<string, number>();
  for (const [key, coefficient] of parse(a)) {
    const symbols = key.split("*").filter(Boolean);
    for (const symbol of divisor[0].split("*").filter(Boolean)) {
      const at = symbols.indexOf(symbol);
      if (at < 0) return undefined;
      symbols.splice(at, 1);
    }
    if (coefficient % divisor[1] !== 0) return undefined;
    quotient.set(symbols.join("*"), coefficient / divisor[1]);
  }
  return print(quotient);
}

/** Number of elements of a tensor of this shape. */
export const elementCount = (shape: Shape): Dim => shape.reduce<Dim>(mulDims, 1);

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((dim, axis) => dim === b[axis]);

export const formatShape = (shape: Shape): string => `[${shape.join(",")}]`;

/** The terms of a dimension as (coefficient, symbols), for programs that compute it when they run. */
export function dimTerms(dim: Dim): readonly { readonly coefficient: number; readonly symbols: string[] }[] {
  return [...parse(dim)].map(([key, coefficient]) => ({
    coefficient,
    symbols: key.split("*").filter(Boolean),
  }));
}
