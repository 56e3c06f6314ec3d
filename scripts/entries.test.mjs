import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'
import { entries, packageExports, packageImports, platforms } from './entries.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))

/** What a browser would not find of all that a module loads, each with its place. */
async function missingInBrowsers(contents) {
  const { errors } = await build({
    stdin: { contents, resolveDir: `${root}src` },
    absWorkingDir: root,
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    logLevel: 'silent',
    conditions: ['@sluice/source', 'module'],
    external: ['ethers'],
  }).catch(({ errors }) => ({ errors }))
  return errors.map(({ text, location }) => `${location?.file}: ${text}`)
}

test('package.json has the entry points of the table', () => {
  const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  expect(manifest.exports).toEqual(packageExports())
  expect(manifest.imports).toEqual(packageImports())
})

describe('nothing of Node is reachable in a browser', () => {
  const sources = Object.entries(entries).filter(([, { runs }]) => runs === 'any').map(([subpath, { source }]) => [subpath, source])

  test.each([...sources, ...Object.entries(platforms).map(([name, { browser }]) => [name, browser])])('from %s', async (_, source) => {
    expect(await missingInBrowsers(`export * from '../${source}'`)).toEqual([])
  })

  test('and this test would see it', async () => {
    expect(await missingInBrowsers('export * from \'node:fs\'; import(\'crypto\')'))
      .toEqual(['<stdin>: Could not resolve "node:fs"', '<stdin>: Could not resolve "crypto"'])
  })
})
