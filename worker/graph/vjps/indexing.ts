import { elementCount } from "../dims.ts";
import type { Value } from "../ir.ts";
import { gatherElements, scatterElements } from "../ops/indexing.ts";
import { expand, full, reshape } from "../ops/movement.ts";
import { fromFront } from "../ops/operand.ts";
import { setting, type Vjp } from "./rule.ts";

const zeros = (x: Value): Value => full(x.graph, x.shape, 0, x.dtype);

/** Adds each slice of g to the slice of zeros that it was gathered from; repeated indices add up. */
function ungather(g: Value, x: Value, indices: Value, axis: number): Value {
  const count = elementCount(indices.shape);
  const updates = reshape(g, [...x.shape.slice(0, axis), count, ...x.shape.slice(axis + 1)]);
  const column = reshape(
    indices,
    x.shape.map((_, at) => (at === axis ? count : 1)),
  );
  return scatterElements(zeros(x), expand(column, updates.shape), updates, { axis, reduction: "add" });
}

export const indexing = {
  Gather: [
    (g, { x: [x, indices], attributes }) =>
      ungather(g, x, indices, fromFront(setting(attributes, "axis", 0), x.shape.length)),
    null,
  ],
  GatherElements: [
    (g, { x: [x, indices], attributes }) =>
      scatterElements(zeros(x), indices, g, { axis: setting(attributes, "axis", 0), reduction: "add" }),
    null,
  ],
  ScatterElements: [
    (g, { x: [, indices, updates], attributes }) =>
      attributes.reduction === "add"
        ? g
        : scatterElements(g, indices, zeros(updates), { axis: setting(attributes, "axis", 0) }),
    null,
    (g, { x: [, indices], attributes }) => gatherElements(g, indices, setting(attributes, "axis", 0)),
  ],
} satisfies Record<string, Vjp>;
