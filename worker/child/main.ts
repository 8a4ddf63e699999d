/** The inference child of a worker: onnxruntime in a process of its own. Started by the supervisor only. */
import { openEngine } from "./open-engine.ts";
import { serveChild } from "./serve.ts";

await serveChild(openEngine);
