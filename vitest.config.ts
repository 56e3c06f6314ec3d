import { defaultServerConditions } from 'vite'
import { defineConfig } from 'vitest/config'

/** Makes `sluice-sdk/…` and `#platform` mean the source, not a build. */
const source = '@sluice/source'
const conditions = [source, ...defaultServerConditions]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: [source] } },
  test: {
    environment: 'node',
    // On two cores: many tests wait for chains, sockets and browsers of their own most of the time.
    maxWorkers: 3,
    // Child processes and worker threads that a test starts inherit it.
    execArgv: [`--conditions=${source}`],
    restoreMocks: true,
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['{src,scripts}/**/*.test.{ts,mjs}'], testTimeout: 15_000, hookTimeout: 30_000 },
      },
      {
        extends: true,
        test: { name: 'e2e', include: ['test/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 },
      },
    ],
  },
})
