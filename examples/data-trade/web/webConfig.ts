import { fileURLToPath } from 'node:url'
import { defaultClientConditions, type InlineConfig } from 'vite'

/** How Vite serves and builds the page: with the library's source, as everything in this repository. */
export function webConfig(): InlineConfig {
  return {
    configFile: false,
    root: fileURLToPath(new URL('.', import.meta.url)),
    resolve: { conditions: ['@sluice/source', ...defaultClientConditions] },
    build: { target: 'es2022' },
  }
}
