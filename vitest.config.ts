import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

// biome-ignore lint/style/noDefaultExport: vitest reads the default export.
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source", "module", "node"] } },
  test: {
    include: ["test/**/*.test.ts"],
    // Real servers, processes and files: slower than the default allows on a busy machine.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    // Most tests wait for other processes most of the time, so two of them fit on few cores, too.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
