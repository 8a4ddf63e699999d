/** A graph that ONNX does not allow: says which operator, which node and what is wrong with it. */
export class GraphError extends Error {
  override readonly name = "GraphError";
  readonly opType: string;
  readonly nodeName: string;
  readonly reason: string;

  constructor(opType: string, nodeName: string, reason: string) {
    super(`${opType} '${nodeName}': ${reason}`);
    this.opType = opType;
    this.nodeName = nodeName;
    this.reason = reason;
  }
}

/** A gradient was asked for through an operator that has no rule in `vjps`. */
export class MissingGradientError extends Error {
  override readonly name = "MissingGradientError";
  readonly opType: string;
  readonly nodeName: string;

  constructor(opType: string, nodeName: string, hint = "") {
    super(
      `no gradient defined for operator '${opType}' (node '${nodeName}')${hint === "" ? "" : `: ${hint}`}`,
    );
    this.opType = opType;
    this.nodeName = nodeName;
  }
}
