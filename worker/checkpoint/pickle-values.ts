/** What a pickle can hold here: plain data, and tokens whose meaning only the reader's allow-list gives. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleList
  | PickleDict
  | GlobalToken
  | OpaqueObject;

export interface PickleList {
  readonly kind: "list" | "tuple";
  readonly items: PickleValue[];
}

/** A `dict` or `OrderedDict`; keys keep their order, and none occurs twice. */
export interface PickleDict {
  readonly kind: "dict";
  readonly ordered: boolean;
  readonly entries: Map<string | number | bigint | boolean | null, PickleValue>;
}

/** A name of the allow-list, such as `torch.FloatStorage`: never looked up anywhere, never called. */
export interface GlobalToken {
  readonly kind: "global";
  readonly name: string;
}

/** An object that a `Builder` made; the machine only carries it. */
export interface OpaqueObject {
  readonly kind: "object";
  readonly type: string;
}

export const isTuple = (value: PickleValue | undefined): value is PickleList =>
  typeof value === "object" && value?.kind === "tuple";

export const isDict = (value: PickleValue | undefined): value is PickleDict =>
  typeof value === "object" && value?.kind === "dict";

/** A value's kind for messages. */
export function describe(value: PickleValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "None";
  if (typeof value !== "object") return typeof value;
  return value.kind === "global" ? value.name : value.kind === "object" ? value.type : value.kind;
}
