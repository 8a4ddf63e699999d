/** JSON as a tree of text, which can hold what no value can: a key twice, numbers beyond a double, ten thousand brackets. */
import { type Change, someChanges } from "./change.ts";

export type Json =
  | { readonly kind: "text"; text: string }
  | { readonly kind: "list"; items: Json[] }
  | { readonly kind: "object"; entries: [string, Json][] };

const text = (json: string): Json => ({ kind: "text", text: json });

export function jsonOf(value: unknown): Json {
  if (Array.isArray(value)) return { kind: "list", items: value.map(jsonOf) };
  if (value !== null && typeof value === "object")
    return { kind: "object", entries: Object.entries(value).map(([key, inner]) => [key, jsonOf(inner)]) };
  return text(JSON.stringify(value));
}

export function jsonText(json: Json): string {
  if (json.kind === "text") return json.text;
  if (json.kind === "list") return `[${json.items.map(jsonText).join(",")}]`;
  return `{${json.entries.map(([key, value]) => `${JSON.stringify(key)}:${jsonText(value)}`).join(",")}}`;
}

export const copyOf = (json: Json): Json =>
  json.kind === "text"
    ? { ...json }
    : json.kind === "list"
      ? { kind: "list", items: json.items.map(copyOf) }
      : { kind: "object", entries: json.entries.map(([key, value]) => [key, copyOf(value)]) };

const deep = (open: string, close: string, levels: number): string =>
  open.repeat(levels) + close.repeat(levels);

/** Values that some reader somewhere takes for something else. */
const SCALARS = [
  ...["null", "true", "false", "0", "-0", "1", "-1", "0.5", "1e308", "1e999", "-1e999", "1e-400"],
  ...["2147483647", "2147483648", "4294967295", "4294967296", "9007199254740991", "9007199254740993"],
  ...["-9223372036854775808", "18446744073709551616", '""', '" "', '"0"', '"NaN"', '"__proto__"'],
  ...[
    '"constructor"',
    '"toString"',
    '"../../x"',
    '"/etc/passwd"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\u001b[31m"',
  ],
  ...['"\\u2028"', '"\\r\\n"', '"%s%n"', JSON.stringify("a".repeat(300)), '"𝒳é漢"'],
];

/** The same that are structures. */
const STRUCTURES = [
  ...["[]", "{}", "[[]]", "[null]", "[{}]", "[0]", '{"":0}', '{"length":4294967295}', '{"length":-1}'],
  ...[
    '{"__proto__":{"x":1}}',
    '{"toString":0,"valueOf":0}',
    '{"toString":{},"valueOf":null}',
    '{"toJSON":1}',
  ],
  ...['{"constructor":{"prototype":{"x":1}}}', '{"then":1}', '{"0":0,"1":1}', '{"a":1,"a":2}'],
  ...['[1,"a",null,[],{}]', `[${"0,".repeat(999)}0]`, `[${"[],".repeat(99)}[]]`],
  deep("[", "]", 60),
  deep('{"a":[', "]}", 30).replace("[]", "[0]"),
  deep("[", "]", 3_000),
];

const KEYS = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "length",
  "",
  "0",
  "a\nb",
  "\u001b[2J",
  "x",
];

export const jsonChanges = someChanges(100, { min: 1, max: 4 });

/** A place in a tree: a node, and where its parent has it. */
interface Place {
  readonly node: Json;
  put(node: Json): void;
  remove(): void;
  again(): void;
}

function placesOf(root: Json, place: Omit<Place, "node">, all: Place[]): Place[] {
  all.push({ node: root, ...place });
  if (root.kind === "list")
    root.items.forEach((item, k) => {
      placesOf(
        item,
        {
          put: (node) => {
            root.items[k] = node;
          },
          remove: () => root.items.splice(k, 1),
          again: () => root.items.splice(k, 0, copyOf(item)),
        },
        all,
      );
    });
  if (root.kind === "object")
    root.entries.forEach((entry, k) => {
      placesOf(
        entry[1],
        {
          put: (node) => {
            entry[1] = node;
          },
          remove: () => root.entries.splice(k, 1),
          again: () => root.entries.push([entry[0], copyOf(entry[1])]),
        },
        all,
      );
    });
  return all;
}

/** A tree after some changes. */
export function changedJson(json: Json, changes: readonly Change[]): Json {
  let root = copyOf(json);
  const whole: Omit<Place, "node"> = {
    put: (node) => {
      root = node;
    },
    remove: () => undefined,
    again: () => undefined,
  };
  for (const { at, how, what } of changes) {
    const places = placesOf(root, whole, []);
    // The root itself is no interesting place: what is left of it is no file of this kind.
    const place = places[places.length === 1 ? 0 : 1 + (at % (places.length - 1))]!;
    changePlace(place, { how, what }, places);
  }
  return root;
}

function changePlace(place: Place, { how, what }: Omit<Change, "at">, places: readonly Place[]): void {
  const { node } = place;
  const scalar = text(SCALARS[what % SCALARS.length]!);
  if (how < 30) place.put(scalar);
  else if (how < 42) place.put(text(STRUCTURES[what % STRUCTURES.length]!));
  else if (how < 52) place.remove();
  else if (how < 58) place.again();
  else if (how < 64) place.put(copyOf(places[what % places.length]!.node));
  else if (how < 67) place.put({ kind: "list", items: [node] });
  else if (how < 70) place.put({ kind: "object", entries: [["a", node]] });
  else if (node.kind === "text") place.put(text(nearText(node.text, what)));
  else if (node.kind === "list") node.items.push(...(how < 85 ? node.items.map(copyOf) : [scalar]));
  else changeKeys(node.entries, { how, what });
}

function changeKeys(entries: [string, Json][], { how, what }: Omit<Change, "at">): void {
  const key = KEYS[what % KEYS.length]!;
  const old = entries[what % Math.max(1, entries.length)];
  if (how < 85 || old === undefined) entries.push([key, text(SCALARS[(what >> 4) % SCALARS.length]!)]);
  else old[0] = how < 95 ? key : `${old[0]}x`;
}

/** A scalar that is nearly the same. */
function nearText(json: string, what: number): string {
  const number = Number(json);
  if (json !== "" && Number.isFinite(number)) {
    const near = [
      number + 1,
      number - 1,
      -number,
      number * 2,
      number / 2,
      number + 2 ** 32,
      number * 1e6,
      number + 0.5,
    ];
    return JSON.stringify(near[what % near.length]);
  }
  if (!json.startsWith('"')) return json === "true" ? "false" : "true";
  const inner = json.slice(1, -1);
  const near = [
    inner.slice(0, -1),
    `${inner}x`,
    inner + inner,
    ` ${inner}`,
    inner.toUpperCase(),
    inner.toLowerCase(),
  ];
  const chosen = near[what % near.length]!;
  // A cut may fall into an escape.
  return chosen.endsWith("\\") ? '"\\\\"' : `"${chosen}"`;
}

/** Deeper and larger than any file: what readers that call themselves, or keep everything, do not survive. */
export const deepJson = (levels: number): string => deep("[", "]", levels);
