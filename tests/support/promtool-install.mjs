// Finds or installs promtool, which checks and tests Prometheus rules. Plain JavaScript, like nats-install.mjs.
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheFolder, findExecutable, run } from "./install.mjs";

const GO_VERSION = "v0.316.0";
const EXECUTABLE = "promtool";

/** Its path, without installing anything: from PATH, the user's cache, or where Go installs; else undefined. */
export const findPromtool = () =>
  findExecutable(EXECUTABLE, [join(process.env.GOPATH || join(homedir(), "go"), "bin")]);

/** Its path; installs it into the user's cache where it is missing. Throws with what was tried and what a user can do. */
export function ensurePromtool(log = console.log) {
  const found = findPromtool();
  if (found) return found;
  const tried = [];
  for (const [name, install] of [
    ["Debian's package", debianPackage],
    ["go install (minutes)", goInstall],
  ]) {
    log(`elibad: no ${EXECUTABLE} on this machine; trying ${name}…`);
    try {
      install();
      const installed = findPromtool();
      if (installed) return installed;
      tried.push(`${name}: it gave no ${EXECUTABLE}`);
    } catch (error) {
      tried.push(`${name}: ${error.message}`);
    }
  }
  throw new Error(
    `no ${EXECUTABLE} could be installed:\n  ${tried.join("\n  ")}\n` +
      "Put the one of a Prometheus release into PATH: https://prometheus.io/download",
  );
}

/** Takes one file out of the package `prometheus`: needs no rights, and starts no server. */
function debianPackage() {
  const aside = join(cacheFolder(), `install-${randomUUID()}`);
  mkdirSync(aside, { recursive: true });
  const download = () => run("apt-get", ["download", "prometheus"], { cwd: aside, timeout: 120_000 });
  try {
    try {
      download();
    } catch (error) {
      if (process.getuid?.() !== 0) throw error;
      // A fresh machine may know no packages yet.
      run("apt-get", ["update"], { timeout: 120_000 });
      download();
    }
    const archive = readdirSync(aside).find((name) => name.endsWith(".deb"));
    run("dpkg-deb", ["--extract", archive, "package"], { cwd: aside, timeout: 120_000 });
    renameSync(join(aside, "package", "usr", "bin", EXECUTABLE), join(cacheFolder(), EXECUTABLE));
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function goInstall() {
  mkdirSync(cacheFolder(), { recursive: true });
  run("go", ["install", `github.com/prometheus/prometheus/cmd/${EXECUTABLE}@${GO_VERSION}`], {
    env: { ...process.env, GOBIN: cacheFolder(), GOFLAGS: "" },
    timeout: 1_200_000,
  });
}
