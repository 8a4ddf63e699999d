import { type DType, onnxCode } from "../dtype.ts";
import type { AttributeValue, GraphParts, Node, Value, WeightLocation } from "../ir.ts";
import { type AttributeKind, MICROSOFT, type Operator } from "../operators/call.ts";
import { IR_VERSION, OPSET, operators } from "../operators.ts";
import { prune } from "../prune.ts";
import { type Tensor, tensorBytes } from "../tensor.ts";
import { verify } from "../verify.ts";
import { attributeType, EXTERNAL, ModelProto } from "./schema.ts";

/**
 * The bytes of an `.onnx` file. The graph is verified, and what no output needs is left out; weights are
 * entries that point into their checkpoint files, so the bytes are the program and its small constants only. The same graph
 * gives the same bytes.
 */
export function encodeOnnx(graph: GraphParts): Uint8Array {
  verify(graph);
  const { inputs, constants, weights, nodes, outputs } = prune(graph);
  const nameOf = shortNames(graph);
  const used = new Set(nodes.flatMap((node) => node.inputs).map((input) => input?.name));
  const domains = new Set(nodes.map(({ opType }) => operatorOf(opType).domain));
  const message = ModelProto.fromObject({
    irVersion: IR_VERSION,
    producerName: "elibad",
    opsetImport: [
      { domain: "", version: OPSET },
      ...(domains.has(MICROSOFT) ? [{ domain: MICROSOFT, version: 1 }] : []),
    ],
    graph: {
      name: "program",
      node: nodes.map((node) => encodeNode(node, nameOf, (value) => used.has(value.name))),
      initializer: [
        ...constants.map(({ value, tensor }) => encodeTensor(tensor, nameOf(value))),
        ...weights.map(({ value, location }) => encodeWeight(value, location)),
      ],
      input: inputs.map(encodeValueInfo),
      output: outputs.map(encodeValueInfo),
    },
  });
  return ModelProto.encode(message).finish();
}

const operatorOf = (opType: keyof typeof operators): Operator => operators[opType];

function encodeNode(
  { opType, name, inputs, outputs, attributes }: Node,
  nameOf: (value: Value) => string,
  isUsed: (value: Value) => boolean,
): object {
  const operator = operatorOf(opType);
  const kinds: Readonly<Record<string, AttributeKind>> = operator.attributes ?? {};
  // The statistics of a LayerNormalization that nobody reads are left off, which lets the runtime fuse it.
  const optional = opType === "LayerNormalization" ? outputs.slice(1) : [];
  const isLeftOff = (output: Value) => optional.includes(output) && !isUsed(output);
  const last = outputs.findLastIndex((output) => !isLeftOff(output));
  return {
    opType,
    name,
    domain: operator.domain ?? "",
    input: inputs.map((input) => (input === null ? "" : nameOf(input))),
    output: outputs.slice(0, last + 1).map((output) => (isLeftOff(output) ? "" : nameOf(output))),
    attribute: Object.entries(attributes).map(([key, value]) => encodeAttribute(key, kinds[key]!, value)),
  };
}

/**
 * What callers and error messages speak of keeps its name: inputs, weights, outputs. The rest, most of the file if it
 * were spelt out, is numbered.
 */
function shortNames({ inputs, weights, outputs }: GraphParts): (value: Value) => string {
  const kept = [...inputs, ...weights.map(({ value }) => value), ...outputs].map(({ name }) => name);
  const names = new Map(kept.map((name) => [name, name]));
  const taken = new Set(kept);
  let next = 0;
  return ({ name }) => {
    let short = names.get(name);
    if (short === undefined) {
      do short = String(next++);
      while (taken.has(short));
      names.set(name, short);
    }
    return short;
  };
}

function encodeAttribute(name: string, kind: AttributeKind, value: AttributeValue): object {
  switch (kind) {
    case "int":
      return { name, type: attributeType.int, i: value };
    case "float":
      return { name, type: attributeType.float, f: value };
    case "dtype":
      return { name, type: attributeType.int, i: onnxCode[value as DType] };
    case "string":
      return { name, type: attributeType.string, s: Buffer.from(value as string) };
    case "ints":
      return { name, type: attributeType.ints, ints: value };
    case "tensor":
      return { name, type: attributeType.tensor, t: encodeTensor(value as Tensor, "value") };
  }
}

function encodeTensor(tensor: Tensor, name: string): object {
  return { name, dims: tensor.shape, dataType: onnxCode[tensor.dtype], rawData: tensorBytes(tensor) };
}

function encodeWeight({ name, dtype, shape }: Value, { file, offset, length }: WeightLocation): object {
  const entries = { location: file, offset, length };
  return {
    name,
    dims: shape,
    dataType: onnxCode[dtype],
    dataLocation: EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value: String(value) })),
  };
}

function encodeValueInfo({ name, dtype, shape }: Value): object {
  const dim = shape.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: onnxCode[dtype], shape: { dim } } } };
}
