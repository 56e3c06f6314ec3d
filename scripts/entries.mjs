/**
 * The public entry points of the package, and what everything else derives from them.
 *
 * To add one: add its line to {@link entries} and run `npm run build`, which writes the `exports` of package.json anew.
 * The bundler, the type bundles, the size budgets, the API reference and the pack test all read this table.
 *
 *     node scripts/entries.mjs          write package.json
 *     node scripts/entries.mjs --check  fail when package.json disagrees with the table
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * Subpath to source, to where it runs ('any' includes browsers), and to its largest browser bundle in kB gzip,
 * ethers not counted.
 * @type {Readonly<Record<string, { source: string, runs: 'any' | 'node', kilobytes?: number }>>}
 */
export const entries = {
  '.': { source: 'src/index.ts', runs: 'any', kilobytes: 4.3 },
  './buyer': { source: 'src/buyer/index.ts', runs: 'any', kilobytes: 30 },
  './seller': { source: 'src/seller/index.ts', runs: 'node' },
  './contracts': { source: 'src/contracts/index.ts', runs: 'any', kilobytes: 15.2 },
  './contracts/deploy': { source: 'src/contracts/deploy.ts', runs: 'any', kilobytes: 51.5 },
  './protocol': { source: 'src/protocol/index.ts', runs: 'any', kilobytes: 14 },
  './payments': { source: 'src/payments/index.ts', runs: 'any', kilobytes: 29.8 },
  './registry': { source: 'src/protocol/registry/index.ts', runs: 'any', kilobytes: 38 },
  './channel': { source: 'src/channel/index.ts', runs: 'any', kilobytes: 9 },
  './channel/listen': { source: 'src/protocol/websocket/listenPeer.ts', runs: 'node' },
  './channel/kademlia': { source: 'src/channel/discovery/kademlia/index.ts', runs: 'node' },
  './channel/http': { source: 'src/channel/http/index.ts', runs: 'node' },
  './channel/tower': { source: 'src/channel/tower/index.ts', runs: 'node' },
  './des': { source: 'src/des/index.ts', runs: 'any', kilobytes: 80 },
  './des/server': { source: 'src/des/server/index.ts', runs: 'node' },
  './store': { source: 'src/core/store/index.ts', runs: 'any', kilobytes: 5 },
  './engines/noble': { source: 'src/core/crypto/noble.ts', runs: 'any', kilobytes: 18 },
  // Browsers can run it only through a bundler that loads WebAssembly as a module.
  './engines/tiny': { source: 'src/core/crypto/tiny.ts', runs: 'node' },
  './engines/native': { source: 'src/core/crypto/native.ts', runs: 'node' },
  './testing': { source: 'src/testing/index.ts', runs: 'node' },
}

/** Modules with two implementations, one for Node and one for browsers. */
export const platforms = {
  '#platform': { node: 'src/core/platform/node.ts', browser: 'src/core/platform/browser.ts' },
  '#websocket': { node: 'src/protocol/websocket/node.ts', browser: 'src/protocol/websocket/browser.ts' },
}

/** Every implementation, by the name of its bundle inside `dist/cjs`. */
export const platformSources = Object.fromEntries(
  Object.entries(platforms).flatMap(([name, variants]) =>
    Object.entries(variants).map(([variant, source]) => [`${name.slice(1)}/${variant}`, source])),
)

/** The name of an entry's bundles inside `dist/cjs` and `dist/types`. */
export const bundleName = (/** @type {string} */ subpath) => (subpath === '.' ? 'index' : subpath.slice(2))

/** The file that an ES module of `src` becomes. */
const moduleOf = (/** @type {string} */ source) => source.replace(/^src/, './dist/esm').replace(/\.ts$/, '.js')

/** The `exports` of package.json. The first condition is ours alone: it makes our tests and examples run the source. */
export function packageExports() {
  const table = Object.entries(entries).map(([subpath, { source }]) => {
    const name = bundleName(subpath)
    return [subpath, {
      '@sluice/source': `./${source}`,
      import: { types: `./dist/types/${name}.d.ts`, default: moduleOf(source) },
      require: { types: `./dist/types/${name}.d.cts`, default: `./dist/cjs/${name}.cjs` },
    }]
  })
  return { ...Object.fromEntries(table), './package.json': './package.json' }
}

/** The `imports` of package.json: one module, two implementations. */
export function packageImports() {
  return Object.fromEntries(Object.entries(platforms).map(([name, { node, browser }]) => {
    const built = (/** @type {'node' | 'browser'} */ variant) => ({
      import: moduleOf(platforms[name][variant]),
      require: `./dist/cjs/${name.slice(1)}/${variant}.cjs`,
    })
    return [name, {
      '@sluice/source': { browser: `./${browser}`, default: `./${node}` },
      browser: built('browser'),
      default: built('node'),
    }]
  }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = new URL('../package.json', import.meta.url)
  const before = readFileSync(file, 'utf8')
  const json = JSON.parse(before)
  json.exports = packageExports()
  json.imports = packageImports()
  const after = `${JSON.stringify(json, null, 2)}\n`
  if (after !== before) {
    if (process.argv.includes('--check')) {
      console.error('package.json disagrees with scripts/entries.mjs: run `node scripts/entries.mjs`')
      process.exit(1)
    }
    writeFileSync(file, after)
    console.log('package.json: exports and imports written')
  }
}
