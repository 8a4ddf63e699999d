// Finds or installs the NATS server that the tests start. Plain JavaScript: `npm test` calls it before anything is built.
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheFolder, findExecutable, run } from "./install.mjs";

const VERSION = "2.14.3";

// sha256 of the release archives, as upstream's SHA256SUMS and its container images name them.
const ARCHIVES = {
  "linux-x64": ["linux-amd64", "f3d0c820c749f81d717310fb00d4903919e70e3e66b268bd352a088b9788eb93"],
  "linux-arm64": ["linux-arm64", "1759b6a0ddebade9471b7c02891dfaa8c73b526c6f3ce391d4e21ec3eceffab8"],
  "darwin-x64": ["darwin-amd64", "effa518fe623433d7c3321991db419bb1e00aa9b19ae761b559b580434afc3ab"],
  "darwin-arm64": ["darwin-arm64", "e086395457a7a93a440433a446c9f161f917d35c0374640555123e8d8d4b7fe9"],
};

const EXECUTABLE = process.platform === "win32" ? "nats-server.exe" : "nats-server";
const HEADER_TIMEOUT_MS = 5_000;
const BODY_TIMEOUT_MS = 180_000;

/** The server's path, without installing anything: from PATH, the user's cache, or where Go installs; else undefined. */
export const findNatsServer = () =>
  findExecutable(EXECUTABLE, [join(process.env.GOPATH || join(homedir(), "go"), "bin"), "/usr/sbin"]);

/**
 * The server's path; installs it into the user's cache where it is missing. Throws with what was tried and what a user can do.
 */
export async function ensureNatsServer(log = console.log) {
  const found = findNatsServer();
  if (found) return found;
  const tried = [];
  for (const [name, install] of [
    [`download of nats-server ${VERSION}`, download],
    ["go install", goInstall],
    ["Debian's package", debianPackage],
  ]) {
    log(`elibad: no nats-server on this machine; trying ${name}…`);
    try {
      await install();
      const installed = findNatsServer();
      if (installed) return installed;
      tried.push(`${name}: it gave no ${EXECUTABLE}`);
    } catch (error) {
      tried.push(`${name}: ${error.message}`);
    }
  }
  throw new Error(
    `the tests need a nats-server, and none could be installed:\n  ${tried.join("\n  ")}\n` +
      "Install one so that it is in PATH: https://docs.nats.io/running-a-nats-service/introduction/installation",
  );
}

async function download() {
  const archive = ARCHIVES[`${process.platform}-${process.arch}`];
  if (!archive) throw new Error(`no archive for ${process.platform} on ${process.arch}`);
  const [platform, sha256] = archive;
  const name = `nats-server-v${VERSION}-${platform}`;
  const bytes = await fetchBytes(
    `https://github.com/nats-io/nats-server/releases/download/v${VERSION}/${name}.tar.gz`,
  );
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== sha256) throw new Error(`the archive's sha256 is ${actual} instead of ${sha256}`);
  const aside = join(cacheFolder(), `download-${randomUUID()}`);
  mkdirSync(aside, { recursive: true });
  try {
    writeFileSync(join(aside, "archive.tar.gz"), bytes);
    run("tar", ["-xzf", "archive.tar.gz", `${name}/${EXECUTABLE}`], { cwd: aside });
    renameSync(join(aside, name, EXECUTABLE), join(cacheFolder(), EXECUTABLE));
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** A network that does not answer at all is given up quickly; a slow one is not. */
async function fetchBytes(url) {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(new Error("no answer")), HEADER_TIMEOUT_MS);
  try {
    const response = await fetch(url, { signal: abort.signal });
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Error("it took too long")), BODY_TIMEOUT_MS);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    throw new Error(`${url}: ${error.cause?.message ?? error.message}`);
  } finally {
    clearTimeout(timer);
  }
}

function goInstall() {
  mkdirSync(cacheFolder(), { recursive: true });
  run("go", ["install", "github.com/nats-io/nats-server/v2@latest"], {
    env: { ...process.env, GOBIN: cacheFolder(), GOFLAGS: "" },
    timeout: 600_000,
  });
}

function debianPackage() {
  if (process.getuid?.() !== 0) throw new Error("as root: apt-get install nats-server");
  run("apt-get", ["install", "-y", "--no-install-recommends", "nats-server"], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    timeout: 300_000,
  });
}
