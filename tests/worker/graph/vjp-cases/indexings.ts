import * as g from "../../../../worker/graph/index.ts";
import type { VjpCase } from "../check-vjp.ts";
import { int64 } from "./int64.ts";

export const indexings: VjpCase[] = [
  {
    op: "Gather",
    note: "rows, some twice",
    shapes: [[4, 3]],
    build: (x) => g.gather(x!, int64(x!, [2, 3], [0, 3, 3, -1, 1, 0])),
  },
  { op: "Gather", note: "a scalar index", shapes: [[4, 3]], build: (x) => g.gather(x!, int64(x!, [], [2])) },
  {
    op: "Gather",
    note: "an axis in the middle",
    shapes: [[2, 3, 2]],
    build: (x) => g.gather(x!, int64(x!, [4], [2, 0, 2, 1]), 1),
  },
  {
    op: "Gather",
    note: "int32 indices",
    shapes: [[4, 2]],
    build: (x) => g.gather(x!, x!.graph.constant(g.tensor("int32", [3], [1, 1, 2])), -2),
  },
  {
    op: "GatherElements",
    shapes: [[3, 2]],
    sized: true,
    build: (x) => g.gatherElements(x!, int64(x!, [2, 2], [2, 0, 2, 1])),
  },
  {
    op: "GatherElements",
    note: "last axis",
    shapes: [[2, 3]],
    build: (x) => g.gatherElements(x!, int64(x!, [2, 1], [-1, 0]), 1),
    sized: true,
  },
  {
    op: "ScatterElements",
    shapes: [
      [4, 2],
      [2, 2],
    ],
    sized: true,
    build: (x, u) => g.scatterElements(x!, int64(x!, [2, 2], [3, 0, 1, 2]), u!),
  },
  {
    op: "ScatterElements",
    note: "adding, some twice",
    shapes: [
      [2, 3],
      [2, 4],
    ],
    sized: true,
    build: (x, u) =>
      g.scatterElements(x!, int64(x!, [2, 4], [2, 0, 2, 1, 0, 0, 1, 1]), u!, { axis: 1, reduction: "add" }),
  },
];
