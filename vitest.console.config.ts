import { defineConfig } from "vitest/config";

// The console in a real browser: needs Chromium and a built console, so it is a run of its own.
export default defineConfig({
  test: {
    include: ["test/console/*.e2e.ts"],
    globalSetup: ["test/postgres.ts"],
    pool: "forks",
    // One browser at a time: they are heavy.
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
});
