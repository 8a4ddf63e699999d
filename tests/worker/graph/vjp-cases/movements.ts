import * as g from "../../../../worker/graph/index.ts";
import type { VjpCase } from "../check-vjp.ts";
import { int64 } from "./int64.ts";

export const movements: VjpCase[] = [
  { op: "Reshape", shapes: [[2, 3, 4]], build: (x) => g.reshape(x!, [x!.shape[0]!, -1]) },
  { op: "Reshape", note: "to a scalar", shapes: [[1, 1]], build: (x) => g.reshape(x!, []) },
  {
    op: "Reshape",
    note: "two symbols out of place",
    shapes: [[2, 3, 4]],
    build: (x) => g.reshape(x!, [x!.shape[2]!, x!.shape[0]!, x!.shape[1]!]),
  },
  { op: "Transpose", shapes: [[2, 3, 4]], build: (x) => g.transpose(x!, [2, 0, 1]) },
  {
    op: "Transpose",
    note: "all axes reversed",
    shapes: [[2, 3, 4]],
    build: (x) => x!.graph.op("Transpose", [x!])[0]!,
  },
  {
    op: "Concat",
    shapes: [
      [2, 3],
      [2, 2],
      [2, 3],
    ],
    build: (a, b, c) => g.concat([a!, b!, c!, a!], 1),
  },
  {
    op: "Concat",
    note: "axis 0 from the end",
    shapes: [
      [3, 2],
      [5, 2],
    ],
    build: (a, b) => g.concat([a!, b!], -2),
  },
  {
    op: "Split",
    shapes: [[2, 5]],
    sized: true,
    build: (x) => {
      const [a, b, c] = g.split(x!, [2, 1, 2], 1);
      return g.add(g.mul(a!, 3), g.mul(c!, b!));
    },
  },
  {
    op: "Split",
    note: "a part that is not used",
    shapes: [[5, 2]],
    sized: true,
    build: (x) => g.split(x!, [2, 3], 0)[1]!,
  },
  { op: "Slice", shapes: [[4, 5]], build: (x) => g.slice(x!, 1, 1, 3) },
  { op: "Slice", note: "to the end", shapes: [[4, 3]], build: (x) => g.slice(x!, 0, 1) },
  { op: "Slice", note: "from the end", shapes: [[2, 4]], build: (x) => g.slice(x!, -1, -3, -1) },
  { op: "Slice", note: "every second", shapes: [[2, 5]], build: (x) => g.slice(x!, 1, 0, 5, 2), sized: true },
  {
    op: "Slice",
    note: "every second of a symbolic length",
    shapes: [[2, 5]],
    build: (x) => g.slice(x!, 1, 1, 4, 2),
  },
  {
    op: "Slice",
    note: "two axes at once",
    shapes: [[4, 5]],
    build: (x) =>
      x!.graph.op("Slice", [x!, int64(x!, [2], [1, 0]), int64(x!, [2], [3, -1]), int64(x!, [2], [0, 1])])[0]!,
  },
  { op: "Pad", shapes: [[2, 3]], build: (x) => g.pad(x!, 1, 2, 1) },
  {
    op: "Pad",
    note: "with an element that counts",
    shapes: [[2, 3], []],
    build: (x, v) => x!.graph.op("Pad", [x!, int64(x!, [4], [1, 0, 0, 2]), v!])[0]!,
  },
  { op: "Squeeze", shapes: [[1, 3, 1, 2]], build: (x) => g.squeeze(x!, [0, -2]) },
  { op: "Unsqueeze", shapes: [[3, 2]], build: (x) => g.unsqueeze(x!, [1, -1]) },
  {
    op: "Expand",
    shapes: [
      [3, 1],
      [2, 3, 4],
    ],
    build: (x, y) => g.mul(g.expand(x!, y!.shape), y!),
  },
  { op: "Expand", note: "new axes", shapes: [[3]], build: (x) => g.expand(x!, [2, 1, x!.shape[0]!]) },
];
