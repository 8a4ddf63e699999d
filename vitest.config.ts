import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // `npm run test:kubernetes` has these alone: they need an API server.
    exclude: process.env.ELIBAD_KUBERNETES ? [] : ["tests/kubernetes/**"],
    globalSetup: ["tests/support/build-once.ts"],
    // onnxruntime aborts when a worker thread that ran it is terminated, so test files run in child processes.
    pool: "forks",
    // Two cores are busy for four fifths of the time with two files, since many tests wait for time-outs of the product.
    maxWorkers: 3,
    // Tests that use onnxruntime or the AWS SDK without the product's own session or bucket keep them quiet, too.
    env: { ORT_DISABLE_TELEMETRY: "1", AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
    // A busy machine of two cores may take ten times as long as an idle one; what hangs is found out nevertheless.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
