// Builds the page, and runs its unit tests.
//
// The development server takes its API and WebSocket from RALLY_EDGE (a running edge, or `npm run mock`).
import { defineConfig } from "vitest/config";

const edge = process.env.RALLY_EDGE ?? "http://localhost:8080";

export default defineConfig({
  // The SDK as it stands beside this, not as it would be published.
  resolve: { conditions: ["rally-source", "module", "browser", "development|production"] },
  ssr: { resolve: { conditions: ["rally-source", "module", "node", "development|production"] } },
  build: {
    target: "es2022",
    // Everything is a file of its own: the page's policy allows no inline script, style or image.
    assetsInlineLimit: 0,
    // Sizes are judged by `npm run size`.
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/api": { target: edge, changeOrigin: true },
      "/ws": { target: edge, ws: true, changeOrigin: true },
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
  },
});
