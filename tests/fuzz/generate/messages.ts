/** A valid message of every kind of `elibad.proto`, so that a field that is added there is tried without being written down here. */
import { join } from "node:path";
import protobuf from "protobufjs";
import { packageRoot } from "../../../proto/package-root.ts";

const root = protobuf.loadSync(join(packageRoot, "proto", "elibad.proto"));
root.resolveAll();

export const messageType = (name: string): protobuf.Type => root.lookupType(`elibad.v1.${name}`);

/** Methods of the service with the types of what they are sent and what they answer. */
export const methods = Object.values(root.lookupService("elibad.v1.Coordinator").methods).map(
  ({ name, requestType, responseType }) => ({ name, requestType, responseType }),
);

/** Every field set; one message for each choice of a `oneof`, and for each choice inside of it. */
export function examplesOf(type: protobuf.Type): Record<string, unknown>[] {
  const inOneof = new Set(type.oneofsArray.flatMap(({ fieldsArray }) => fieldsArray));
  const plain = type.fieldsArray.filter((field) => !inOneof.has(field));
  const common = Object.fromEntries(plain.map((field) => [field.name, valuesOf(field)[0]]));
  const choices = [...inOneof].flatMap((field) =>
    valuesOf(field).map((value) => ({ ...common, [field.name]: value })),
  );
  // What is inside of a list or a field may have choices of its own.
  const inside = plain.flatMap((field) =>
    valuesOf(field)
      .slice(1)
      .map((value) => ({ ...common, [field.name]: value })),
  );
  return choices.length > 0 ? [...choices, ...inside] : [common, ...inside];
}

function valuesOf(field: protobuf.Field): unknown[] {
  const { resolvedType } = field.resolve();
  const values =
    resolvedType instanceof protobuf.Type
      ? examplesOf(resolvedType)
      : resolvedType !== null
        ? [1]
        : [scalarOf(field)];
  return values.map((value) => (field.repeated ? [value, value, value] : value));
}

function scalarOf({ type, name }: protobuf.Field): unknown {
  if (type === "string")
    return /digest|fingerprint|weights|samples|checkpoint|codes|queries|means|squares/.test(name)
      ? "ab".repeat(32)
      : "text-1";
  if (type === "bytes") return Buffer.from(Float32Array.of(0.5, -1, 2).buffer);
  if (type === "bool") return true;
  return type === "double" ? 0.25 : 3;
}
