import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Operation, TensorMap } from "../../proto/operations.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { Answer, FromChild, ReadyDevice } from "../../worker/child/messages.ts";
import type { DeviceName } from "../../worker/device-names.ts";
import { InferenceChild } from "../../worker/supervisor/inference-child.ts";
import { tempFolder } from "./temp-folder.ts";

/** How the start of a child ended. */
export type ChildStart =
  | { readonly kind: "ready"; readonly device: ReadyDevice }
  | { readonly kind: "unusable"; readonly message: string };

export interface TestChild {
  readonly started: ChildStart;
  /** Lines that it wrote so far. */
  readonly lines: readonly string[];
  run(operations: readonly Operation[]): Promise<TensorMap[]>;
}

/**
 * Starts the inference child of the built package on a device, and waits for its self-check.
 *
 * @param folder of a local executor, whose artifacts the child reads
 * @param env variables beside this process's
 * @param found what an earlier child found
 */
export async function startTestChild(
  device: DeviceName,
  folder: string,
  env: Readonly<Record<string, string>> = {},
  found?: ReadyDevice,
): Promise<TestChild> {
  const lines: string[] = [];
  const inbox: FromChild[] = [];
  let wake = () => {};
  const before = { ...process.env };
  Object.assign(process.env, env);
  const child = new InferenceChild(
    join(packageRoot, "dist", "worker", "child", "main.js"),
    {
      artifactFolder: join(folder, "artifacts"),
      resultFolder: tempFolder(),
      maxInlineBytes: 2 ** 30,
      device,
      form: "primitive",
      threads: 1,
      ...(found && { found }),
      engineOptions: {},
    },
    {
      message: (message) => {
        inbox.push(message);
        wake();
      },
      exit: () => {},
      line: (text) => lines.push(text),
    },
  );
  process.env = before;
  onTestFinished(() => child.kill());
  const next = async (): Promise<FromChild> => {
    while (inbox.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return inbox.shift()!;
  };
  return {
    started: (await next()) as ChildStart,
    lines,
    async run(operations) {
      child.send({ kind: "run", runs: operations.map((operation, ticket) => ({ ticket, operation })) });
      const answers: Answer[] = [];
      while (answers.length < operations.length) {
        const message = await next();
        if (message.kind === "finished") answers.push(...message.answers);
      }
      return answers.map(({ outcome }) => {
        if (outcome.kind !== "tensors") throw new Error(JSON.stringify(outcome));
        return outcome.tensors;
      });
    },
  };
}
