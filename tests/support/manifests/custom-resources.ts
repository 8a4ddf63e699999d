import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type ApiObject, named } from "./objects.ts";
import { parseManifests } from "./render.ts";

type JsonSchema = { readonly [key: string]: unknown };

interface Definition extends ApiObject {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly {
      readonly name: string;
      readonly schema: { readonly openAPIV3Schema: JsonSchema };
    }[];
  };
}

/** What definitions of custom resources say about theirs: fields that they do not have, values of another type. */
export class CustomResources {
  readonly #schemas = new Map<string, z.ZodType>();

  /** @param folder of `CustomResourceDefinition`s, a file each */
  constructor(folder: string) {
    const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
    const definitions = files.flatMap((name) => parseManifests(readFileSync(join(folder, name), "utf8")));
    for (const { spec } of definitions as readonly Definition[]) {
      for (const { name, schema } of spec.versions) {
        const key = `${spec.group}/${name} ${spec.names.kind}`;
        const made = z.lazy(() => z.fromJSONSchema(strict(withoutMetadata(schema.openAPIV3Schema)) as never));
        this.#schemas.set(key, made);
      }
    }
  }

  problems(object: ApiObject): string[] {
    const schema = this.#schemas.get(`${object.apiVersion} ${object.kind}`);
    if (schema === undefined)
      return [`${named(object)}: no definition has ${object.apiVersion} ${object.kind}`];
    const { metadata: _, ...rest } = object;
    const parsed = schema.safeParse(rest);
    if (parsed.success) return [];
    return parsed.error.issues.map((issue) => `${named(object)}.${issue.path.join(".")}: ${issue.message}`);
  }
}

const withoutMetadata = (schema: JsonSchema): JsonSchema => {
  const { metadata: _, ...properties } = schema.properties as JsonSchema;
  return { ...schema, properties };
};

/** The same schema in plain JSON schema: an object with properties has no others, as strict validation of the API server wants it. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== "object" || schema === null) return schema;
  // Patterns are those of another language (RE2).
  const { format: _, pattern: __, ...given } = schema as JsonSchema;
  if (given["x-kubernetes-int-or-string"]) return { anyOf: [{ type: "integer" }, { type: "string" }] };
  const known = Object.entries(given).filter(
    ([key]) => !key.startsWith("x-kubernetes-") && key !== "nullable",
  );
  const plain = Object.fromEntries(
    known.map(([key, value]) =>
      key === "properties"
        ? [
            key,
            Object.fromEntries(
              Object.entries(value as JsonSchema).map(([name, each]) => [name, strict(each)]),
            ),
          ]
        : ["items", "additionalProperties", "anyOf", "allOf", "oneOf"].includes(key)
          ? [key, strict(value)]
          : [key, value],
    ),
  );
  const isOpen = given["x-kubernetes-preserve-unknown-fields"] === true;
  return plain.properties !== undefined && plain.additionalProperties === undefined && !isOpen
    ? { ...plain, additionalProperties: false }
    : plain;
}
