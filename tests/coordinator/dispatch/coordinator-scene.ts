import { onTestFinished } from "vitest";
import {
  type Coordinator,
  type CoordinatorOptions,
  startCoordinator,
} from "../../../coordinator/coordinator.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** A coordinator in this process, for workers of a script, until the test is over. */
export async function start(options: Partial<CoordinatorOptions> = {}) {
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 200,
    ...options,
  });
  onTestFinished(() => coordinator.close());
  return coordinator;
}

/** Of each result. */
export const firstLogit = (
  results: readonly { readonly tensors: Readonly<Record<string, { data: ArrayLike<number> }>> }[],
) => results.map(({ tensors }) => tensors.logits?.data[0]);

/** The value of a line of /metrics, by what stands before it; 0 where there is none. */
export const metric = async (coordinator: Coordinator, line: string) =>
  Number(
    (await coordinator.metrics.registry.metrics())
      .split("\n")
      .find((each) => each.startsWith(`${line} `))
      ?.split(" ")
      .at(-1) ?? 0,
  );
