import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { packageRoot } from "../../../proto/package-root.ts";
import { ensureKustomize } from "../kustomize-install.mjs";
import { type ApiObject, Objects } from "./objects.ts";

export const deployFolder = join(packageRoot, "deploy");
export const OVERLAYS = ["local", "gpu", "production"] as const;
export type Overlay = (typeof OVERLAYS)[number];

/** Where an overlay takes its development certificates from; `elibad certs` writes them. */
export const certificatesIn = (deploy: string): string =>
  join(deploy, "components", "dev-certificates", "certs");

/** Copies deploy/, without certificates that a user has made there; or a copy of it, with them. */
export function copyDeploy(to: string, from = deployFolder): string {
  const usersOwn = certificatesIn(deployFolder);
  cpSync(from, to, { recursive: true, filter: (path) => path !== usersOwn });
  return to;
}

/** An overlay as users apply it. @throws with what kustomize says */
export async function renderOverlay(overlay: Overlay, deploy: string): Promise<Objects> {
  return new Objects(parseManifests(await renderText(overlay, deploy)));
}

/** The same as the text that `kubectl apply` reads. */
export async function renderText(overlay: Overlay, deploy: string): Promise<string> {
  const [command, ...words] = await ensureKustomize();
  const folder = join(deploy, "overlays", overlay);
  const { status, stdout, stderr } = spawnSync(command!, [...words, folder], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`overlay ${overlay} cannot be rendered: ${stderr}`);
  return stdout;
}

export const parseManifests = (text: string): ApiObject[] =>
  parseAllDocuments(text).map((document) => document.toJS() as ApiObject);
