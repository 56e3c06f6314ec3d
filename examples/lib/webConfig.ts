import { fileURLToPath } from 'node:url'
import { defaultClientConditions, type InlineConfig } from 'vite'

/** How Vite serves and builds the page in a folder: with the library's source, as everything in this repository. */
export function webConfig(folder: URL): InlineConfig {
  return {
    configFile: false,
    root: fileURLToPath(folder),
    resolve: { conditions: ['@sluice/source', ...defaultClientConditions] },
    build: { target: 'es2022' },
  }
}
