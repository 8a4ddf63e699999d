import type { Operation, OperationResult, Tensor, TensorMap } from "../../proto/operations.ts";

/**
 * Largest difference between two results of one device class that are no CPU's, relative to the tensor's largest value: a device's sums need not come out the
 * same twice. Devices are let in with 5e-5 against the CPU; here both may be off.
 */
const DEVICE_TOLERANCE = 1e-4;
/** The same where products of matrices are computed in float16. */
const HALF_TOLERANCE = 2e-2;

type Compared = Pick<OperationResult, "tensors" | "artifacts">;

/** Whether two workers of the class give the same bits; only a CPU's do. */
export const isExact = (deviceClass: string): boolean => deviceClass.split("/", 1)[0] === "cpu";

/**
 * Whether two results of one operation and device class are the same: to the last bit on a CPU, within a tolerance elsewhere. Artifacts are
 * compared by their digests, so results that have some (a training run's state) are for classes that are exact.
 */
export function resultsAgree(operation: Operation, deviceClass: string, a: Compared, b: Compared): boolean {
  const names = Object.keys(a.tensors);
  if (names.length !== Object.keys(b.tensors).length || !sameArtifacts(a, b)) return false;
  const isHalf = "precision" in operation && operation.precision === "fp16";
  const tolerance = isExact(deviceClass) ? 0 : isHalf ? HALF_TOLERANCE : DEVICE_TOLERANCE;
  return names.every((name) => tensorsAgree(name, a.tensors, b.tensors, tolerance));
}

function sameArtifacts({ artifacts: a = {} }: Compared, { artifacts: b = {} }: Compared): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function tensorsAgree(name: string, a: TensorMap, b: TensorMap, tolerance: number): boolean {
  const [x, y] = [a[name]!, b[name]];
  if (!y || x.data.constructor !== y.data.constructor || !sameShape(x, y)) return false;
  if (tolerance === 0) return sameBytes(x, y);
  // Ids go by their values, and near ties may stand in another order.
  if (x.data instanceof Int32Array) return "values" in a || sameBytes(x, y);
  let [largest, difference] = [0, 0];
  for (let i = 0; i < x.data.length; i++) {
    largest = Math.max(largest, Math.abs(x.data[i]!), Math.abs(y.data[i]!));
    difference = Math.max(difference, Math.abs(x.data[i]! - y.data[i]!));
  }
  return difference <= tolerance * largest;
}

const sameShape = (x: Tensor, y: Tensor): boolean =>
  x.shape.length === y.shape.length && x.shape.every((dim, axis) => dim === y.shape[axis]);

const sameBytes = ({ data: x }: Tensor, { data: y }: Tensor): boolean =>
  Buffer.compare(
    Buffer.from(x.buffer, x.byteOffset, x.byteLength),
    Buffer.from(y.buffer, y.byteOffset, y.byteLength),
  ) === 0;
