/** How to run tests that use mobula under vitest: docs/vitest.md says why. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["*.spec.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 30_000,
  },
});
