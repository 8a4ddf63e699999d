// Reads vitest's JSON report and prints CI's closing line; exits 1 if anything failed, or was skipped although the reference data is there. Tests say themselves what a machine lacks.
import { existsSync, readFileSync } from "node:fs";

const [report, testStatus, checkStatus] = process.argv.slice(2);
let text = "";
try {
  text = readFileSync(report, "utf8");
} catch {
  // No report at all: counted as one failure below.
}
const results = text === "" ? null : JSON.parse(text);
const passed = results?.numPassedTests ?? 0;
let failed = results?.numFailedTests ?? 0;
const reasons = [];
if (passed === 0) reasons.push("no test ran");
if (Number(testStatus) !== 0 && failed === 0) reasons.push("npm test failed outside of a test");
if (Number(checkStatus) !== 0) reasons.push("npm run check failed (format, lint or types)");
const notRun = (results?.testResults ?? []).flatMap((file) =>
  file.assertionResults
    .filter((test) => test.status !== "passed" && test.status !== "failed")
    .map((test) => ({ test: `${file.name}: ${test.fullName}`, machineLacks: test.meta?.machineLacks })),
);
for (const { test, machineLacks } of notRun)
  if (machineLacks) console.log(`CI: not counted, this machine lacks ${machineLacks}: ${test}`);
const skipped = notRun.filter(({ machineLacks }) => !machineLacks).map(({ test }) => test);
if (skipped.length > 0 && existsSync("../shared")) {
  reasons.push(`${skipped.length} skipped although the reference data is here:\n  ${skipped.join("\n  ")}`);
}
for (const reason of reasons) console.log(`CI: ${reason}`);
failed += reasons.length;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || Number(testStatus) !== 0 ? 1 : 0);
