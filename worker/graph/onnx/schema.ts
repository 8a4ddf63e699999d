import protobuf from "protobufjs";

const repeated = (id: number, type: string, packed = false) => ({
  rule: "repeated",
  type,
  id,
  options: { packed },
});
const field = (id: number, type: string) => ({ type, id });

/**
 * The part of ONNX's file format that programs use, with the official field numbers:
 * https://github.com/onnx/onnx/blob/v1.15.0/onnx/onnx.proto
 */
const schema = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        irVersion: field(1, "int64"),
        producerName: field(2, "string"),
        graph: field(7, "GraphProto"),
        opsetImport: repeated(8, "OperatorSetIdProto"),
      },
    },
    OperatorSetIdProto: { fields: { domain: field(1, "string"), version: field(2, "int64") } },
    GraphProto: {
      fields: {
        node: repeated(1, "NodeProto"),
        name: field(2, "string"),
        initializer: repeated(5, "TensorProto"),
        input: repeated(11, "ValueInfoProto"),
        output: repeated(12, "ValueInfoProto"),
      },
    },
    NodeProto: {
      fields: {
        input: repeated(1, "string"),
        output: repeated(2, "string"),
        name: field(3, "string"),
        opType: field(4, "string"),
        attribute: repeated(5, "AttributeProto"),
        domain: field(7, "string"),
      },
    },
    AttributeProto: {
      fields: {
        name: field(1, "string"),
        f: field(2, "float"),
        i: field(3, "int64"),
        s: field(4, "bytes"),
        t: field(5, "TensorProto"),
        ints: repeated(8, "int64"),
        type: field(20, "int32"),
      },
    },
    TensorProto: {
      fields: {
        dims: repeated(1, "int64"),
        dataType: field(2, "int32"),
        name: field(8, "string"),
        rawData: field(9, "bytes"),
        externalData: repeated(13, "StringStringEntryProto"),
        dataLocation: field(14, "int32"),
      },
    },
    StringStringEntryProto: { fields: { key: field(1, "string"), value: field(2, "string") } },
    ValueInfoProto: { fields: { name: field(1, "string"), type: field(2, "TypeProto") } },
    TypeProto: { fields: { tensorType: field(1, "TypeProtoTensor") } },
    TypeProtoTensor: { fields: { elemType: field(1, "int32"), shape: field(2, "TensorShapeProto") } },
    TensorShapeProto: { fields: { dim: repeated(1, "TensorShapeProtoDimension") } },
    TensorShapeProtoDimension: { fields: { dimValue: field(1, "int64"), dimParam: field(2, "string") } },
  },
});

/** The message that an `.onnx` file is. */
export const ModelProto = schema.lookupType("ModelProto");

/** AttributeProto.AttributeType */
export const attributeType = { float: 1, int: 2, string: 3, tensor: 4, ints: 7 } as const;

/** TensorProto.DataLocation: elements in another file. */
export const EXTERNAL = 1;
