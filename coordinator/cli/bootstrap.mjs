// `npm run demo`, `npm test`, `npm run test:faults`, `npm run test:sim`, `npm run test:fuzz`, `npm run test:kubernetes` and `npm run bench` start here, in plain JavaScript, on a clone where nothing is installed yet.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

function fail(message) {
  console.error(`elibad: ${message}`);
  process.exit(1);
}

function checkNode() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) fail(`Node ${process.versions.node} is too old: elibad needs Node 20 or newer`);
}

/** Runs a program in the checkout with this terminal; exits with its status if that is not 0. */
function run(command, args, env = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  if (done.error) fail(`${command} could not be started: ${done.error.message}`);
  if (done.status !== 0) process.exit(done.status ?? 130);
}

/** Installs the locked packages if they are missing or the lockfile is newer than the installation. */
function installPackages() {
  const installed = join(root, "node_modules", ".package-lock.json");
  const lock = join(root, "package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  if (existsSync(installed) && sameVersions(installed, lock)) return;
  console.log("elibad: installing packages (npm ci)…");
  // The install scripts of packages are not needed: every binary comes inside a package.
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    ONNXRUNTIME_NODE_INSTALL: process.env.ONNXRUNTIME_NODE_INSTALL ?? "skip",
  });
}

/** True where every locked package that this platform can use is installed in the locked version. */
function sameVersions(installed, lock) {
  const have = JSON.parse(readFileSync(installed, "utf8")).packages;
  const want = JSON.parse(readFileSync(lock, "utf8")).packages;
  return Object.entries(want).every(
    ([path, entry]) => path === "" || entry.optional || have[path]?.version === entry.version,
  );
}

async function runTests(args, env) {
  const { ensureNatsServer } = await import("../../tests/support/nats-install.mjs");
  await ensureNatsServer();
  const { ensureKustomize } = await import("../../tests/support/kustomize-install.mjs");
  try {
    await ensureKustomize();
  } catch (error) {
    console.log(`elibad: ${error.message}; tests of manifests are skipped`);
  }
  const { ensureS3Server } = await import("../../tests/support/s3-install.mjs");
  try {
    ensureS3Server();
  } catch (error) {
    console.log(`elibad: ${error.message}; tests of buckets are skipped`);
  }
  const { ensurePromtool } = await import("../../tests/support/promtool-install.mjs");
  try {
    ensurePromtool();
  } catch (error) {
    console.log(`elibad: ${error.message}; tests of Prometheus rules are skipped`);
  }
  run(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), "run", ...args], env);
}

checkNode();
const [job, ...rest] = process.argv.slice(2);
installPackages();
switch (job) {
  case "demo":
    run(process.execPath, [join(root, "coordinator/cli/elibad.mjs"), "demo", ...rest]);
    break;
  case "test":
    await runTests(rest);
    break;
  case "test-faults": {
    const reporters = ["--reporter=default", "--reporter=tests/faults/table.ts"];
    // One file at a time: a fault is to be the only thing that takes time from a step.
    const options = ["--test-timeout=900000", "--hook-timeout=300000", "--max-workers=1", ...reporters];
    // The simulation is fault 26.
    await runTests(["tests/faults/", "tests/simulation/", ...options, ...rest], { ELIBAD_FAULTS: "long" });
    break;
  }
  case "test-sim":
    // More seeds than `npm test` has, and other ones after these on request: docs/simulation.md.
    run(
      process.execPath,
      [join(root, "node_modules/vitest/vitest.mjs"), "run", "tests/simulation", ...rest],
      {
        ELIBAD_SIM_SEEDS: process.env.ELIBAD_SIM_SEEDS ?? "10000",
      },
    );
    break;
  case "test-kubernetes": {
    // One file at a time, on one cluster: deploy/README.md.
    const options = [
      "--test-timeout=600000",
      "--hook-timeout=1800000",
      "--max-workers=1",
      "--reporter=verbose",
    ];
    await runTests(["tests/kubernetes/", ...options, ...rest], { ELIBAD_KUBERNETES: "1" });
    break;
  }
  case "test-fuzz":
    // More inputs than `npm test` has, from other seeds: docs/fuzzing.md.
    run(process.execPath, [join(root, "coordinator/cli/build.mjs")]);
    run(process.execPath, [join(root, "dist/tests/fuzz/main.js"), ...rest]);
    break;
  case "bench":
    run(process.execPath, [join(root, "coordinator/cli/build.mjs")]);
    run(process.execPath, [join(root, "dist/tests/bench/main.js"), ...rest]);
    break;
  default:
    fail(
      `unknown job '${job ?? ""}': use npm run demo, npm test, npm run test:faults, npm run test:sim, npm run test:fuzz, npm run test:kubernetes or npm run bench`,
    );
}
