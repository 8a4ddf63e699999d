import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { basename, join, relative } from "node:path";
import picomatch from "picomatch";
import { glob } from "tinyglobby";
import { packageRoot } from "../../proto/package-root.ts";
import { readDockerfile, type Stage } from "./dockerfile.ts";

/** Where the images' files stand. */
export const imagesFolder = join(packageRoot, "deploy", "images");
export const IMAGES = ["coordinator", "worker-cpu", "worker-cuda"] as const;
export type ImageName = (typeof IMAGES)[number];

/** An image as an engine would start it, with its files (without those of its base) in a folder. */
export interface ImageTree {
  /** Stands for `/`. */
  readonly root: string;
  readonly workdir: string;
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
}

/** Does a RUN in a folder that stands for its WORKDIR. */
export type RunStep = (command: string, folder: string) => void;

/**
 * Follows a Dockerfile without a container engine: each stage is a folder, COPY copies from the checkout as `.dockerignore` lets it or from another stage, RUN is what `run` makes of it.
 * @param into an empty folder
 * @throws where a COPY names what is not there
 */
export async function buildImageTree(
  name: ImageName,
  { into, run }: { readonly into: string; readonly run: RunStep },
): Promise<ImageTree> {
  const stages = readDockerfile(join(imagesFolder, `${name}.Dockerfile`));
  const context = await contextFiles();
  const roots = new Map<string, string>();
  let last: ImageTree | undefined;
  for (const [k, stage] of stages.entries()) {
    const root = join(into, stage.name ?? `stage-${k}`);
    mkdirSync(root);
    last = followStage(stage, root, { context, roots, run });
    if (stage.name !== undefined) roots.set(stage.name, root);
  }
  return last!;
}

function followStage(
  { steps }: Stage,
  root: string,
  parts: {
    readonly context: readonly string[];
    readonly roots: ReadonlyMap<string, string>;
    readonly run: RunStep;
  },
): ImageTree {
  const env: Record<string, string> = {};
  const words = {
    entrypoint: [] as readonly string[],
    healthcheck: [] as readonly string[],
  };
  let workdir = "/";
  let user = "0:0";
  const here = (path: string) => (path.startsWith("/") ? join(root, path) : join(root, workdir, path));
  for (const step of steps) {
    if (step.kind === "env") env[step.name] = step.value;
    else if (step.kind === "user") user = step.user;
    else if (step.kind === "workdir") {
      workdir = step.path;
      mkdirSync(here("."), { recursive: true });
    } else if (step.kind === "run") {
      // The command runs on this machine: only what stands below its folder is the image's.
      if (/(^|\s)(\/|~|\.\.)/.test(step.command)) throw new Error(`RUN ${step.command}: only relative paths`);
      parts.run(step.command, here("."));
    } else if (step.kind === "copy") {
      const to = step.paths.at(-1)!;
      for (const path of step.paths.slice(0, -1)) {
        if (step.from === undefined) copyFromContext(path, { to, target: here(to), context: parts.context });
        else copyFromStage(path, { to, target: here(to), root: parts.roots.get(step.from)! });
      }
    } else if (step.kind === "entrypoint" || step.kind === "healthcheck") words[step.kind] = step.words;
  }
  return { root, workdir, user, env, ...words };
}

/** Files that the build may see, relative to the checkout: those of `.dockerignore` that are there, whoever made them. */
async function contextFiles(): Promise<string[]> {
  const rules = readFileSync(join(packageRoot, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const pattern = line.replace(/^!/, "");
      return { isKept: line.startsWith("!"), matches: picomatch([pattern, `${pattern}/**`], { dot: true }) };
    });
  const ignore = ["**/node_modules/**", "dist/**", ".git/**"];
  const all = await glob("**", { cwd: packageRoot, dot: true, ignore });
  return all.filter((file) => rules.findLast(({ matches }) => matches(file))?.isKept ?? true);
}

function copyFromContext(
  path: string,
  {
    to,
    target,
    context,
  }: { readonly to: string; readonly target: string; readonly context: readonly string[] },
): void {
  const files = context.filter((file) => file === path || file.startsWith(`${path}/`));
  if (files.length === 0) throw new Error(`COPY ${path}: the build's context has no such file`);
  for (const file of files) {
    const inside = file === path ? (to.endsWith("/") ? basename(file) : "") : relative(path, file);
    copyTree(join(packageRoot, file), join(target, inside));
  }
}

function copyFromStage(
  path: string,
  { to, target, root }: { readonly to: string; readonly target: string; readonly root: string },
): void {
  const source = join(root, path);
  // Of a base nothing is here; of node's image an image may take the program, which is the one that runs this.
  const program = path === "/usr/local/bin/node" && !existsSync(source) ? process.execPath : source;
  if (!existsSync(program)) throw new Error(`COPY ${path}: the stage has no such file`);
  copyTree(program, to.endsWith("/") ? join(target, basename(path)) : target);
}

/** Links files where the disk can, and copies them elsewhere. Everybody may read what comes out, as in an image. */
export function copyTree(from: string, to: string): void {
  const stat = lstatSync(from);
  if (stat.isDirectory()) {
    mkdirSync(to, { recursive: true });
    for (const name of readdirSync(from)) copyTree(join(from, name), join(to, name));
  } else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
  else {
    mkdirSync(join(to, ".."), { recursive: true });
    try {
      linkSync(from, to);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
      copyFileSync(from, to);
      chmodSync(to, statSync(from).mode);
    }
  }
}

/** What a Dockerfile's RUN does, done. */
const runForReal: RunStep = (command, folder) => {
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" };
  const { status, stderr } = spawnSync("sh", ["-c", command], { cwd: folder, env, encoding: "utf8" });
  if (status !== 0) throw new Error(`RUN ${command}: ended with ${status}: ${stderr.trim().slice(-500)}`);
};

/**
 * The same from what is installed and built in this checkout, in a second: `npm ci --omit=dev` gives the packages that the lockfile does not mark as needed for development alone, and the
 * compiler's output is there. CUDA libraries, which come from elsewhere, are left out.
 */
export const runFromCheckout: RunStep = (command, folder) => {
  if (command === "npm ci --ignore-scripts") return;
  if (command === "npm ci --omit=dev --ignore-scripts") return linkProductionPackages(folder);
  if (command === "node coordinator/cli/build.mjs")
    return copyTree(join(packageRoot, "dist"), join(folder, "dist"));
  if (/npm rebuild onnxruntime-node$/.test(command)) return;
  runForReal(command, folder);
};

function linkProductionPackages(folder: string): void {
  const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: true; readonly devOptional?: true }>>;
  };
  for (const [path, { dev, devOptional }] of Object.entries(packages)) {
    const source = join(packageRoot, path);
    // A package for another system is in no installation.
    if (path === "" || dev || devOptional || !existsSync(source)) continue;
    for (const name of readdirSync(source)) {
      // Packages inside of one have places of their own in the lockfile.
      if (name !== "node_modules") copyTree(join(source, name), join(folder, path, name));
    }
  }
}
