import * as models from "@kubernetes/client-node/dist/gen/models/all.js";
import type { ApiObject } from "./objects.ts";
import { named } from "./objects.ts";

interface Model {
  getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

const modelOf = (type: string): Model | undefined =>
  (models as unknown as Readonly<Record<string, Model | undefined>>)[type];

/** True where Kubernetes itself knows the kind; the others are custom resources. */
export const isBuiltIn = ({ apiVersion }: ApiObject): boolean =>
  !apiVersion.includes("/") || !apiVersion.split("/")[0]!.includes(".") || apiVersion.includes(".k8s.io/");

/** Fields that the kind does not have, and values of another type than the field's, by the types of Kubernetes' own client. */
export function typeProblems(object: ApiObject): string[] {
  const version = object.apiVersion.split("/").at(-1)!;
  const type = `${version[0]!.toUpperCase()}${version.slice(1)}${object.kind}`;
  if (modelOf(type) === undefined)
    return [`${named(object)}: ${object.apiVersion} has no kind ${object.kind}`];
  return mismatches(object, type, "").map((problem) => `${named(object)}${problem}`);
}

function mismatches(value: unknown, type: string, path: string): string[] {
  const wrong = [`${path}: is ${JSON.stringify(value)}, must be ${type}`];
  const element = /^Array<(.*)>$/.exec(type)?.[1] ?? /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (element !== undefined) {
    if (typeof value !== "object" || value === null || Array.isArray(value) !== type.startsWith("Array"))
      return wrong;
    return Object.entries(value).flatMap(([key, each]) => mismatches(each, element, `${path}.${key}`));
  }
  const model = modelOf(type);
  if (model === undefined) return isOf(value, type) ? [] : wrong;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong;
  const fields = new Map(model.getAttributeTypeMap().map(({ baseName, type }) => [baseName, type]));
  return Object.entries(value).flatMap(([name, each]) => {
    const fieldType = fields.get(name);
    return fieldType === undefined
      ? [`${path}: has no field ${name}`]
      : mismatches(each, fieldType, `${path}.${name}`);
  });
}

function isOf(value: unknown, type: string): boolean {
  switch (type) {
    case "any":
      return true;
    case "object":
      return typeof value === "object";
    case "IntOrString":
      return typeof value === "string" || Number.isInteger(value);
    case "Date":
    case "V1MicroTime":
      return typeof value === "string";
    default:
      return typeof value === type;
  }
}
