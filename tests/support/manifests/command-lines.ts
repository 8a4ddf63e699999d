import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { elibadHere } from "../command-line.ts";
import { ensureNatsServer } from "../nats-install.mjs";
import { named, type Objects } from "./objects.ts";
import { type PlacedContainer, placePod } from "./pod-files.ts";

/** What programs say about the words, configuration and files that their containers give them: `elibad --check-config`, and nats-server's own check. */
export async function refusedCommandLines(objects: Objects, folder: string): Promise<string[]> {
  const problems: string[] = [];
  const [namespace] = objects.ofKind("Namespace");
  for (const workload of objects.workloads) {
    const name = `${workload.metadata.name}-0`;
    const place = {
      name,
      namespace: namespace!.metadata.name,
      address: "127.0.0.1",
      folder: join(folder, name),
      claim: (claim: string) => join(folder, "claims", claim),
    };
    for (const placed of placePod(workload.spec.template.spec, objects, place)) {
      const refusal = await refusalOf(placed, place.folder);
      if (refusal !== undefined)
        problems.push(`${named(workload)}: container ${placed.container.name}: ${refusal}`);
    }
  }
  return problems;
}

async function refusalOf(
  { container, command, args, env }: PlacedContainer,
  cwd: string,
): Promise<string | undefined> {
  if (isOurs(container.image)) {
    const { code, stderr, stdout } = await elibadHere(...args, "--check-config");
    return code === 0 ? undefined : `${stderr}${stdout}`.trim();
  }
  if (command[0] !== "nats-server") return `image ${container.image}: no program here is its`;
  mkdirSync(cwd, { recursive: true });
  const done = spawnSync(await ensureNatsServer(), [...args, "-t"], {
    cwd,
    encoding: "utf8",
    env: { PATH: process.env.PATH, ...env },
  });
  return done.status === 0 ? undefined : done.stderr.trim();
}

/** An image that deploy/images makes, wherever it was pushed to. */
export const isOurs = (image: string): boolean =>
  /(^|\/)elibad-(coordinator|worker-cpu|worker-cuda):/.test(image);
