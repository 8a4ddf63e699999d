import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { type OpcodeName, opcodeName } from "./pickle-opcodes.ts";
import {
  describe,
  isDict,
  isTuple,
  type PickleDict,
  type PickleList,
  type PickleValue,
} from "./pickle-values.ts";

/** What the few calls of a pickle mean. Each returns undefined for what it does not know, or throws an `Error` with the reason. */
export interface Builder {
  /** The token for `module.name`, or undefined: not on the allow-list. */
  global(module: string, name: string): PickleValue | undefined;
  /** Meaning of calling a token that `global` gave. */
  reduce(callable: PickleValue, args: readonly PickleValue[]): PickleValue | undefined;
  persistentLoad(id: readonly PickleValue[]): PickleValue | undefined;
}

/** Bounds far above any state dict (six containers, some sixty opcodes a tensor), so that no pickle costs more than a second or some hundred MB. */
export const pickleLimits = {
  bytes: 32 * 2 ** 20,
  opcodes: 4_000_000,
  stack: 200_000,
  marks: 1_000,
  memo: 500_000,
  containers: 250_000,
  stringBytes: 65_536,
  globalBytes: 256,
} as const;

/**
 * Reads a pickle of protocol 2 to 5 without executing anything: there is no import, no call and no attribute here,
 * only a stack of plain values and the builder's tokens. Any opcode outside of the table below, any global that the
 * builder does not know, and anything above the limits throws a `CheckpointError` with the byte position.
 */
export function readPickle(
  bytes: Buffer,
  builder: Builder,
  { file, entry }: { file: string; entry: string },
): PickleValue {
  const machine = new PickleMachine(bytes, builder);
  try {
    return machine.run();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CheckpointError(file, `${entry} byte ${machine.opcodeAt}`, reason, { cause: error });
  }
}

type Handler = (machine: PickleMachine) => void;

/** Everything that is understood; protocol 2 is what torch.save writes, the rest comes with `pickle_protocol`. */
const handlers: Partial<Record<OpcodeName, Handler>> = {
  FRAME: (m) => m.take(8),
  MARK: (m) => m.mark(),
  NONE: (m) => m.push(null),
  NEWTRUE: (m) => m.push(true),
  NEWFALSE: (m) => m.push(false),
  BININT: (m) => m.push(m.take(4).readInt32LE()),
  BININT1: (m) => m.push(m.take(1).readUInt8()),
  BININT2: (m) => m.push(m.take(2).readUInt16LE()),
  LONG1: (m) => m.push(m.long(m.take(1).readUInt8())),
  BINFLOAT: (m) => m.push(m.take(8).readDoubleBE()),
  BINUNICODE: (m) => m.push(m.text(m.take(4).readUInt32LE())),
  SHORT_BINUNICODE: (m) => m.push(m.text(m.take(1).readUInt8())),
  EMPTY_TUPLE: (m) => m.push(m.container({ kind: "tuple", items: [] })),
  TUPLE1: (m) => m.tuple(m.popMany(1)),
  TUPLE2: (m) => m.tuple(m.popMany(2)),
  TUPLE3: (m) => m.tuple(m.popMany(3)),
  TUPLE: (m) => m.tuple(m.popToMark()),
  EMPTY_LIST: (m) => m.push(m.container({ kind: "list", items: [] })),
  APPEND: (m) => m.append(m.popMany(1)),
  APPENDS: (m) => m.append(m.popToMark()),
  EMPTY_DICT: (m) => m.push(m.container({ kind: "dict", ordered: false, entries: new Map() })),
  SETITEM: (m) => m.setItems(m.popMany(2)),
  SETITEMS: (m) => m.setItems(m.popToMark()),
  BINPUT: (m) => m.remember(m.take(1).readUInt8()),
  LONG_BINPUT: (m) => m.remember(m.take(4).readUInt32LE()),
  MEMOIZE: (m) => m.remember(m.memo.size),
  BINGET: (m) => m.recall(m.take(1).readUInt8()),
  LONG_BINGET: (m) => m.recall(m.take(4).readUInt32LE()),
  GLOBAL: (m) => m.global(m.line(), m.line()),
  STACK_GLOBAL: (m) => m.stackGlobal(),
  REDUCE: (m) => m.reduce(),
  BUILD: (m) => m.build(),
  BINPERSID: (m) => m.persistent(),
};

class PickleMachine {
  /** Position of the opcode being run. */
  opcodeAt = 0;
  readonly memo = new Map<number, PickleValue>();
  private readonly bytes: Buffer;
  private readonly builder: Builder;
  private at = 0;
  private opcodes = 0;
  private readonly stack: PickleValue[] = [];
  /** Heights of the stack at open marks: nothing below the last one can be popped. */
  private readonly marks: number[] = [];
  private containers = 0;

  constructor(bytes: Buffer, builder: Builder) {
    this.bytes = bytes;
    this.builder = builder;
  }

  run(): PickleValue {
    limit("pickle bytes", this.bytes.length, pickleLimits.bytes);
    if (this.opcode() !== "PROTO")
      throw new Error("does not start with PROTO: not a pickle of protocol 2 to 5");
    const protocol = this.take(1).readUInt8();
    if (protocol < 2 || protocol > 5) throw new Error(`pickle protocol ${protocol} is not between 2 and 5`);
    for (let name = this.opcode(); name !== "STOP"; name = this.opcode()) {
      const handler = handlers[name];
      if (handler === undefined) throw new Error(`opcode ${name} is not allowed`);
      handler(this);
    }
    const [value] = this.popMany(1);
    if (this.stack.length > 0) throw new Error(`STOP with ${this.stack.length} further values on the stack`);
    if (this.at !== this.bytes.length) throw new Error(`${this.bytes.length - this.at} bytes follow STOP`);
    return value!;
  }

  private opcode(): OpcodeName {
    this.opcodeAt = this.at;
    this.opcodes += 1;
    limit("opcodes", this.opcodes, pickleLimits.opcodes);
    const code = this.take(1).readUInt8();
    const name = opcodeName(code);
    if (name === undefined) throw new Error(`unknown opcode 0x${code.toString(16).padStart(2, "0")}`);
    return name;
  }

  /** The next `length` bytes. */
  take(length: number): Buffer {
    if (length > this.bytes.length - this.at)
      throw new Error(
        `the pickle ends here: ${length} more bytes wanted, ${this.bytes.length - this.at} left`,
      );
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(length: number): string {
    limit("string bytes", length, pickleLimits.stringBytes);
    return decodeUtf8(this.take(length));
  }

  /** Text up to a newline. */
  line(): string {
    const window = this.bytes.subarray(this.at, this.at + pickleLimits.globalBytes);
    const length = window.indexOf(0x0a);
    if (length < 0) throw new Error(`no end of line within ${pickleLimits.globalBytes} bytes`);
    return decodeUtf8(this.take(length + 1).subarray(0, length));
  }

  long(length: number): number | bigint {
    limit("bytes of an integer", length, 8);
    const bytes = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  push(value: PickleValue): void {
    this.stack.push(value);
    limit("stack", this.stack.length, pickleLimits.stack);
  }

  container<T extends PickleList | PickleDict>(value: T): T {
    this.containers += 1;
    limit("containers", this.containers, pickleLimits.containers);
    return value;
  }

  tuple(items: PickleValue[]): void {
    this.push(this.container({ kind: "tuple", items }));
  }

  popMany(count: number): PickleValue[] {
    if (this.stack.length - count < (this.marks.at(-1) ?? 0)) throw new Error("the stack is empty");
    return this.stack.splice(this.stack.length - count, count);
  }

  mark(): void {
    this.marks.push(this.stack.length);
    limit("open marks", this.marks.length, pickleLimits.marks);
  }

  popToMark(): PickleValue[] {
    const height = this.marks.pop();
    if (height === undefined) throw new Error("no open mark");
    return this.stack.splice(height);
  }

  private top(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw new Error("the stack is empty");
    return this.stack.at(-1)!;
  }

  append(items: readonly PickleValue[]): void {
    const target = this.top();
    if (typeof target !== "object" || target?.kind !== "list")
      throw new Error(`cannot append to ${describe(target)}`);
    for (const item of items) target.items.push(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const target = this.top();
    if (!isDict(target)) throw new Error(`cannot set an item of ${describe(target)}`);
    if (items.length % 2 !== 0) throw new Error("a dictionary key without a value");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key === "object" && key !== null)
        throw new Error(`a dictionary key is a ${describe(key)}, not a string or number`);
      if (target.entries.has(key)) throw new Error(`the key ${quoted(String(key))} occurs twice`);
      target.entries.set(key, items[i + 1]!);
    }
  }

  remember(index: number): void {
    limit("memo index", index, pickleLimits.memo);
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw new Error(`memo ${index} was never set`);
    this.push(value);
  }

  global(module: string, name: string): void {
    const token = this.builder.global(module, name);
    if (token === undefined)
      throw new Error(
        `the global ${quoted(`${module}.${name}`)} is not allowed; elibad reads state dicts of tensors (save model.state_dict()) and runs nothing`,
      );
    this.push(token);
  }

  stackGlobal(): void {
    const [module, name] = this.popMany(2);
    if (typeof module !== "string" || typeof name !== "string")
      throw new Error("STACK_GLOBAL without two strings");
    this.global(module, name);
  }

  reduce(): void {
    const [callable, args] = this.popMany(2);
    if (!isTuple(args)) throw new Error(`REDUCE with ${describe(args)} instead of a tuple`);
    const made = this.builder.reduce(callable!, args.items);
    if (made === undefined) throw new Error(`REDUCE of ${describe(callable)} is not allowed`);
    this.push(isDict(made) ? this.container(made) : made);
  }

  /** Only an OrderedDict has state: PyTorch hangs `_metadata` (module versions) on it, which nothing here reads. */
  build(): void {
    const [state] = this.popMany(1);
    const target = this.top();
    if (!isDict(target) || !target.ordered || !isDict(state))
      throw new Error(`BUILD of ${describe(target)} with ${describe(state)} is not allowed`);
  }

  persistent(): void {
    const [id] = this.popMany(1);
    const made = isTuple(id) ? this.builder.persistentLoad(id.items) : undefined;
    if (made === undefined) throw new Error(`persistent id ${describe(id)} is not a tensor storage`);
    this.push(made);
  }
}

function limit(what: string, value: number, most: number): void {
  if (value > most) throw new Error(`${what}: ${value} is above the limit of ${most}`);
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new Error("a string is not valid UTF-8", { cause: error });
  }
}
