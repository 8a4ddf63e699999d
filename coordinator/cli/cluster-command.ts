import type { ProgramForm } from "../../proto/operations.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import { ANSWER_BYTES } from "../search/predict.ts";
import type { ClusterContext, CommandSpec } from "./command.ts";
import { clusterOptions } from "./common-options.ts";
import { withLocalCluster } from "./local-cluster.ts";
import type { OptionSpecs, Parsed } from "./options.ts";
import { requirePlainHere } from "./protection.ts";
import { optionsToSend, submitCommand } from "./submit.ts";

type WithCluster<S extends OptionSpecs> = S & typeof clusterOptions;

/** A command whose work is done by workers: its own part gets an executor. */
export interface ClusterCommandSpec<S extends OptionSpecs = OptionSpecs> extends CommandSpec<WithCluster<S>> {
  /** Finds wrong input before any work is done. */
  check?(options: Parsed<WithCluster<S>>): Promise<void> | void;
  /** What the command does, on whatever cluster. Also called by `elibad coordinator` for submitted commands. */
  compute(options: Parsed<WithCluster<S>>, context: ClusterContext): Promise<unknown>;
}

/**
 * Declares a command that computes: it gets the cluster options, and runs on workers that it starts itself, or on a running
 * coordinator where `--coordinator` names one.
 *
 * @param check finds wrong input before any process is started
 */
export function defineClusterCommand<S extends OptionSpecs>(
  spec: Omit<CommandSpec<S>, "run"> & {
    check?(options: Parsed<WithCluster<S>>): Promise<void> | void;
    compute(options: Parsed<WithCluster<S>>, context: ClusterContext): Promise<unknown>;
  },
): ClusterCommandSpec<S> {
  const options = { ...spec.options, ...clusterOptions } as WithCluster<S>;
  return {
    ...spec,
    options,
    async run(given, context) {
      const cluster = given as Parsed<typeof clusterOptions> & { readonly programForm?: ProgramForm };
      if (cluster.coordinator !== undefined) {
        const there = { ...cluster, coordinator: cluster.coordinator };
        return submitCommand(there, spec.name, optionsToSend(options, given), context);
      }
      requirePlainHere(cluster);
      await spec.check?.(given);
      return withLocalCluster(cluster, context, ({ executor, metrics }) =>
        spec.compute(given, { ...context, executor, meter: metrics, answers: new VectorCache(ANSWER_BYTES) }),
      );
    },
  };
}
