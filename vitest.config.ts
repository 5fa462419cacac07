import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // onnxruntime's native session objects do not survive worker threads
    pool: "forks",
    maxWorkers: 2,
    // a shell that silences progress must not silence the tests of it
    env: { EDGEWRIGHT_PROGRESS: "" },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
