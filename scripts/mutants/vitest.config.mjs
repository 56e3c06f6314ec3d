/**
 * The suite's own configuration, with the guards of some files under control.
 * @module
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { mergeConfig } from 'vitest/config'
import base from '../../vitest.config.ts'
import { instrument } from './guards.mjs'

/** @type {(ReturnType<typeof import('./guards.mjs').guardsOfTypeScript>[number] & { id: number, file: string })[]} */
const guards = JSON.parse(readFileSync(process.env.SLUICE_GUARDS, 'utf8'))
const plugin = {
  name: 'guards',
  enforce: 'pre',
  transform(_code, id) {
    const [path] = id.split('?')
    const inFile = guards.filter(({ file }) => file === path)
    return inFile.length === 0 ? undefined : instrument(readFileSync(path, 'utf8'), inFile)
  },
}

const config = mergeConfig(base, { root: fileURLToPath(new URL('../../', import.meta.url)), plugins: [plugin] })
for (const { test } of config.test.projects) test.setupFiles = [fileURLToPath(new URL('setup.ts', import.meta.url))]
export default config
