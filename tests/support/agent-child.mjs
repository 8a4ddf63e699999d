// The real inference child, but before each operation it asks the test's agent (`fault-agent.ts`) what to do: compute, die, or
// compute and answer something else.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { openEngine } from "../../dist/worker/child/open-engine.js";
import { serveChild } from "../../dist/worker/child/serve.js";

const clock = new Int32Array(new SharedArrayBuffer(4));
const block = (ms) => ms > 0 && Atomics.wait(clock, 0, 0, ms);

/** @returns {Promise<(question: object) => Promise<import("./fault-agent.ts").Order>>} */
async function connectToAgent(port) {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  // The test is over, and with it this worker.
  socket.on("error", () => {});
  const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  return async (question) => {
    socket.write(`${JSON.stringify(question)}\n`);
    const { value } = await answers.next();
    if (value === undefined) return new Promise(() => {});
    return JSON.parse(value);
  };
}

/** What other answers than the right one look like. */
const spoilers = {
  nan: ({ data }) => data.fill(Number.NaN),
  /** A bit of the first number flips: it stays a number. */
  bit({ data }) {
    new Uint8Array(data.buffer, data.byteOffset)[2] ^= 0x40;
  },
  /** All numbers are a little too small, so that they look right. */
  lie({ data }) {
    for (let k = 0; k < data.length; k++) data[k] -= 0.25;
  },
  short(tensor) {
    tensor.data = tensor.data.slice(1);
    tensor.shape = [tensor.shape[0] - 1, ...tensor.shape.slice(1)];
  },
};

/** The same result with its first tensor of numbers spoiled; or with tensors that another operation has. */
function spoiled(result, spoil) {
  if (spoil === "other") return { ...result, tensors: { sums: { shape: [1], data: Float64Array.of(1) } } };
  const tensors = Object.fromEntries(
    Object.entries(result.tensors).map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  );
  const first = Object.values(tensors).find(({ data }) => data instanceof Float32Array);
  if (first) spoilers[spoil](first);
  return { ...result, tensors };
}

/** The same result with the last bit of a number in its first artifact flipped. */
function withOtherState({ written: [first, ...rest], ...result }) {
  const bytes = readFileSync(first.path);
  bytes[bytes.length - 4] ^= 1;
  writeFileSync(first.path, bytes);
  const digest = createHash("sha256").update(bytes).digest("hex");
  return { ...result, written: [{ ...first, digest }, ...rest] };
}

/** Takes memory until there is none. */
function exhaustMemory() {
  const kept = [];
  for (;;) kept.push(new Array(1_000_000).fill(kept));
}

await serveChild(async (options) => {
  const engine = await openEngine(options);
  const { agent, worker } = options.engineOptions;
  const ask = await connectToAgent(agent);
  return {
    ...engine,
    async run(operation, partDone) {
      const { kind, checkpoint, sample = null } = operation;
      const { order, times = 1, spoil } = await ask({ worker, pid: process.pid, kind, checkpoint, sample });
      if (order === "die") process.kill(process.pid, "SIGKILL");
      if (order === "exhaust-memory") exhaustMemory();
      const start = performance.now();
      const result = await engine.run(operation, partDone);
      block((times - 1) * (performance.now() - start));
      if (spoil === undefined) return result;
      return spoil === "state" ? withOtherState(result) : spoiled(result, spoil);
    },
  };
});
