import { defineConfig } from "vitest/config";

// biome-ignore lint/style/noDefaultExport: vitest reads the default export.
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source", "module", "node"] } },
  test: {
    include: ["test/interop/**/*.interop.ts"],
    // Clients are compiled first, with what their own registries have.
    hookTimeout: 15 * 60_000,
    testTimeout: 5 * 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
