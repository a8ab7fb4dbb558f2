import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "console/test/*.test.ts"],
    // Long runs that break things on purpose; they have a command of their own.
    exclude: ["test/hazards/**"],
    // One PostgreSQL for the whole run. Tests get at it with inject("postgres").
    globalSetup: ["test/postgres.ts"],
    // Processes, not threads: tests send signals, and a leak in one file stays in that file.
    pool: "forks",
    // A test takes milliseconds; these leave room for a machine that is busy with the other files.
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
