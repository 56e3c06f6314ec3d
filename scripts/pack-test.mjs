/**
 * Proves that the package works once packed: installs the tarball beside ethers into an empty project and uses every
 * entry point from Node as an ES module and as CommonJS, from TypeScript under each way of resolving modules, from a Vite
 * app in a real browser and its web worker, and from bundles for Node that trade on a real chain. Also that no install
 * script is needed, that a page's program compiles with every declaration checked, and what a page loads first.
 *
 *     npm run build && npm run pack-test
 * @module
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { buildSync } from 'esbuild'
import { ZeroAddress } from 'ethers'
import { tokenNetworkRegistryContract } from '../src/contracts/tokenNetworkRegistry.ts'
import { launchChromium } from '../src/testing/chromium.ts'
import { startDevnet } from '../src/testing/devnet.ts'
import { entries } from './entries.mjs'
import { MAX_SIZE } from './packed.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const project = mkdtempSync(join(tmpdir(), 'sluice-pack-'))

const specifiers = Object.keys(entries).map(subpath => `sluice-sdk${subpath.slice(1)}`)
const browserSpecifiers = specifiers.filter((_, index) => Object.values(entries)[index].runs === 'any')

/** Runs a program in the project and returns what it prints; a failure ends the test and shows everything. */
function run(command, args, { cwd = project } = {}) {
  // The conditions that this script runs under would make its children look for the source.
  const env = { ...process.env, NODE_OPTIONS: '' }
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8', shell: process.platform === 'win32' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed\n${error ?? ''}${stdout}${stderr}`)
  return stdout
}

function write(files) {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(project, path)), { recursive: true })
    writeFileSync(join(project, path), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  }
}

const install = (...args) => run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...args])
/** Installs what not every machine can; says so when it doesn't. */
function tryInstall(name) {
  try {
    install('-D', name)
    return true
  } catch {
    console.log(`- ${name} does not install here: skipped`)
    return false
  }
}
const versioned = names => names.map(name => `${name}@${devDependencies[name]}`)
const done = what => console.log(`✓ ${what}`)

/** A program that prints what each entry exports, and what the default engine makes of fixed bytes. */
const program = (modules, load) => `
${modules.map((name, index) => load(`m${index}`, name)).join('\n')}
const modules = { ${modules.map((name, index) => `'${name}': m${index}`).join(', ')} }
const { engine, isSluiceError, SluiceError } = m0
const key = new Uint8Array(32).fill(7)
const { secp256k1, keccak256 } = engine()
const signature = secp256k1.sign(keccak256(key), key)
const report = {
  exports: Object.fromEntries(Object.entries(modules).map(([name, module]) =>
    [name, Object.keys(module).filter(key => key !== 'default' && key !== '__esModule').sort()])),
  recovered: secp256k1.recover(keccak256(key), signature).join() === secp256k1.publicKey(key).join(),
  guard: isSluiceError(new SluiceError('TIMEOUT', 'late'), 'TIMEOUT'),
}`
const imports = (variable, name) => `import * as ${variable} from '${name}'`
const requires = (variable, name) => `const ${variable} = require('${name}')`

function checkReport(report, names) {
  assert.deepEqual(Object.keys(report.exports), names)
  for (const [name, exported] of Object.entries(report.exports)) assert.ok(exported.length > 0, `${name} exports nothing`)
  assert.equal(report.recovered, true)
  assert.equal(report.guard, true)
}

function inNode() {
  write({
    'main.mjs': `${program(specifiers, imports)}\nconsole.log(JSON.stringify(report))`,
    'main.cjs': `${program(specifiers, requires)}\nconsole.log(JSON.stringify(report))`,
  })
  const module = JSON.parse(run(process.execPath, ['main.mjs']))
  checkReport(module, specifiers)
  done('ES module in Node')

  // As Node before 20.19 does it: `require` cannot load an ES module.
  const flag = '--no-experimental-require-module'
  const flags = process.allowedNodeEnvironmentFlags.has(flag) ? [flag] : []
  assert.deepEqual(JSON.parse(run(process.execPath, [...flags, 'main.cjs'])), module)
  done('CommonJS in Node')
}

function inTypeScript() {
  const use = specifiers.map((name, index) => `import * as m${index} from '${name}'\nexport const n${index}: object = m${index}`)
  const configure = (name, options, files) => {
    write({
      ...Object.fromEntries(files.map(file => [`${name}/${file}`, use.join('\n')])),
      [`${name}/tsconfig.json`]: {
        compilerOptions: { target: 'es2022', lib: ['es2023', 'dom'], strict: true, noEmit: true, types: ['node'], ...options },
        files,
      },
    })
    run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', name])
    done(`TypeScript, ${name}`)
  }
  configure('bundler', { module: 'esnext', moduleResolution: 'bundler' }, ['main.ts'])
  configure('node16', { module: 'node16', moduleResolution: 'node16' }, ['main.mts', 'main.cts'])
  configure('nodenext', { module: 'nodenext', moduleResolution: 'nodenext' }, ['main.mts', 'main.cts'])
}

/** Where the types of a page's program may come from: what it calls itself, and what those packages' own types name. */
const BROWSER_TYPES = ['@types/node', 'abstract-level', 'buffer', 'ethers', 'eventemitter3', 'level-supports', 'level-transcoder', 'sluice-sdk', 'typescript', 'undici-types', 'valibot']
/** A server's, still reached since the bundled types take `Clock` and `Logger` from `des/server.d.ts`: no more may come. */
const SERVER_TYPES = ['axios', 'kysely', 'nodemailer']

/** A page's program compiles without Node's types being asked for, with every declaration that it reaches checked. */
function inBrowserTypes() {
  for (const entry of ['buyer', 'channel']) {
    write({
      'page/main.ts': `import * as entry from 'sluice-sdk/${entry}'\nexport const all: object = entry`,
      'page/tsconfig.json': {
        compilerOptions: { target: 'es2022', lib: ['es2023', 'esnext.disposable', 'dom', 'dom.asynciterable'], strict: true, noEmit: true, types: [], skipLibCheck: false, module: 'esnext', moduleResolution: 'bundler', customConditions: ['browser'] },
        files: ['main.ts'],
      },
    })
    const files = run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'page', '--listFiles']).split('\n')
    const packages = new Set(files.map(file => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]).filter(Boolean))
    assert.deepEqual([...packages].filter(name => ![...BROWSER_TYPES, ...SERVER_TYPES].includes(name)), [], `what the types of sluice-sdk/${entry} pull in`)
  }
  done('TypeScript for a page, every declaration checked')
}

/** Kilobytes (gzip, ethers not counted) that a page carries at first, at most. */
const FIRST_LOAD = { buyer: 30, channel: 40 }

/** Weighs what Vite makes of an entry: what the page loads first, and all that it may load later. */
function firstLoad() {
  for (const [entry, limit] of Object.entries(FIRST_LOAD)) {
    write({
      'weight/index.html': '<!doctype html><title>app</title><script type="module" src="./main.js"></script>',
      'weight/main.js': `import * as entry from 'sluice-sdk/${entry}'\nglobalThis.entry = entry`,
      'weight/vite.config.js': 'export default { build: { manifest: true, modulePreload: { polyfill: false }, rollupOptions: { external: [/^ethers/] } } }',
    })
    run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', 'weight', '--logLevel', 'warn'])
    const dist = join(project, 'weight/dist')
    const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'))
    const weigh = (...kinds) => {
      const names = new Set(['index.html'])
      // A set that grows while it is walked: what is added is visited too.
      for (const name of names) for (const kind of kinds) for (const next of manifest[name][kind] ?? []) names.add(next)
      return [...names].reduce((sum, name) => sum + gzipSync(readFileSync(join(dist, manifest[name].file))).length, 0) / 1000
    }
    const first = weigh('imports')
    assert.ok(first <= limit, `sluice-sdk/${entry} makes a page load ${first.toFixed(1)} kB at first; ${limit} are allowed`)
    done(`sluice-sdk/${entry} by Vite: ${first.toFixed(1)} kB at first (${limit} allowed), ${weigh('imports', 'dynamicImports').toFixed(1)} kB with all that it may load later`)
  }
}

/** A store on the disk that is written, closed and read again. */
const storeProgram = `import { openStore } from 'sluice-sdk/store'
const value = new Uint8Array([1, 2, 3])
const first = await openStore('./kept')
await first.write([{ key: 'a', value }])
await first.close()
const again = await openStore('./kept')
console.log((await again.get('a')).join())
await again.close()
`

/** Installs with no script allowed to run, by npm: a store on the disk works. */
function withoutScripts(tarball) {
  const at = name => ({ cwd: join(project, name) })
  const prepare = name => write({
    [`${name}/package.json`]: { name, private: true, dependencies: { 'sluice-sdk': `file:../${tarball}`, 'ethers': devDependencies.ethers } },
    [`${name}/store.mjs`]: storeProgram,
  })
  const works = name => assert.equal(run(process.execPath, ['store.mjs'], at(name)).trim(), '1,2,3')
  prepare('scriptless')
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], at('scriptless'))
  works('scriptless')
  done('npm install --ignore-scripts: a store on the disk works')
}

async function inBrowser() {
  write({
    'app/index.html': '<!doctype html><title>app</title><script type="module" src="./main.js"></script>',
    'app/main.js': `${program(browserSpecifiers, imports)}
const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
worker.onmessage = ({ data }) => { globalThis.report = { page: report, worker: data } }
worker.onerror = event => { throw new Error(\`worker: \${event.message}\`) }`,
    'app/worker.js': `${program(browserSpecifiers, imports)}\npostMessage(report)`,
    'app/vite.config.js': 'export default { worker: { format: \'es\' } }',
  })
  run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', 'app', '--logLevel', 'warn'])

  const types = { '.html': 'text/html', '.js': 'text/javascript' }
  const server = createServer((request, response) => {
    const path = request.url === '/' ? '/index.html' : request.url
    try {
      response.setHeader('content-type', types[extname(path)] ?? 'application/octet-stream')
      response.end(readFileSync(join(project, 'app/dist', path)))
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const browser = await launchChromium()
  try {
    const page = await browser.newPage()
    const errors = []
    page.on('pageerror', error => errors.push(String(error)))
    await page.goto(`http://localhost:${server.address().port}`)
    const report = await page.waitForFunction(() => globalThis.report, null, { timeout: 10_000 })
      .then(handle => handle.jsonValue())
      .catch(cause => assert.fail(`The page did not run: ${errors.join('; ') || cause}`))
    checkReport(report.page, browserSpecifiers)
    checkReport(report.worker, browserSpecifiers)
    assert.deepEqual(errors, [])
  } finally {
    await browser.close()
    server.close()
  }
  done('Vite app in a browser, and in a web worker of it')
}

const esbuild = format => path =>
  buildSync({ absWorkingDir: project, entryPoints: ['bundled.mjs'], bundle: true, platform: 'node', format, outfile: path, logLevel: 'error' })

/** Runs a bundler's own interface in the project, which has the bundler. */
const script = text => path => {
  write({ 'build.mjs': text(JSON.stringify({ folder: dirname(path), file: basename(path) })) })
  run(process.execPath, ['build.mjs'])
}

/** What bundles an application for Node, in one file. */
const bundlers = {
  'esbuild, ES module': { file: 'esbuild.mjs', bundle: esbuild('esm') },
  'esbuild, CommonJS': { file: 'esbuild.cjs', bundle: esbuild('cjs') },
  'Vite, server side': {
    file: 'vite.mjs',
    bundle: script(at => `import { build } from 'vite'
const { folder, file } = ${at}
await build({
  configFile: false, logLevel: 'error', ssr: { noExternal: true },
  build: { ssr: 'bundled.mjs', outDir: folder, emptyOutDir: false, rollupOptions: { output: { entryFileNames: file, codeSplitting: false } } },
})`),
  },
  'webpack': {
    file: 'webpack.cjs',
    // Where a module lay when it was bundled, as its `import.meta.url`: the packages are found there.
    remembers: true,
    bundle: script(at => `import webpack from 'webpack'
const { folder, file } = ${at}
webpack({
  mode: 'production', target: 'node', entry: './bundled.mjs', output: { path: folder, filename: file },
  plugins: [new webpack.optimize.LimitChunkCountPlugin({ maxChunks: 1 })],
}, (error, stats) => {
  if (!error && !stats.hasErrors()) return
  console.error(error ?? stats.toString('errors-only'))
  process.exitCode = 1
})`),
  },
}

/** For programs on the chain, which stands still while this process waits for another and reads nothing. */
const runAsync = promisify(execFile)

/** Bundles a program for Node in each format, and runs it beside the packages and away from them. */
async function inBundles() {
  const devnet = await startDevnet()
  const away = mkdtempSync(join(tmpdir(), 'sluice-bundle-'))
  try {
    const { tokenNetworkRegistry, fromBlock } = await devnet.deployChannels()
    const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, devnet.accounts[0])
    await (await registry.createTokenNetwork(ZeroAddress)).wait()
    const tokenNetwork = await registry.tokenNetworks(ZeroAddress)
    const { dataTrade } = devnet.deployment
    write({
      'trade.mjs': readFileSync(new URL('pack/trade.mjs', import.meta.url), 'utf8'),
      'bundled.mjs': `import { trade } from './trade.mjs'
trade(JSON.parse(process.env.CHAIN)).then(report => console.log(JSON.stringify(report)), error => { console.error(error); process.exitCode = 1 })`,
    })
    for (const [name, { file, bundle, remembers = false }] of Object.entries(bundlers)) {
      const bare = remembers ? ['tiny', 'works'] : ['ethers', 'STORE_FAILED']
      for (const [folder, curve, store] of [[project, 'tiny', 'works'], [away, ...bare]]) {
        bundle(join(folder, file))
        const CHAIN = JSON.stringify({ url: devnet.url, dataTrade, tokenNetwork, fromBlock, folder })
        const report = JSON.parse((await runAsync(process.execPath, [file], { cwd: folder, env: { ...process.env, NODE_OPTIONS: '', CHAIN }, timeout: 120_000 })).stdout)
        const expected = { curve, bytes: 600_000, paid: 'done', store, exchange: store, native: curve, clients: 'function,function' }
        assert.deepEqual(report, expected, name)
      }
      done(`${name}: a bundle for Node trades, beside its packages and away from them`)
    }
  } finally {
    rmSync(away, { recursive: true, force: true })
    await devnet.stop()
  }
}

try {
  if (!existsSync(join(root, 'dist/types/index.d.ts'))) throw new Error('Nothing to pack: npm run build')
  // Without scripts: the build would run once more.
  const packed = run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], { cwd: root })
  const [{ filename: tarball, unpackedSize }] = Object.values(JSON.parse(packed))
  assert.ok(unpackedSize <= MAX_SIZE, `the package has ${unpackedSize} bytes unpacked, ${MAX_SIZE} are allowed`)
  write({ 'package.json': { name: 'consumer', private: true } })
  install(`./${tarball}`, ...versioned(['ethers']))
  done(`${tarball} installed: ${(unpackedSize / 1e6).toFixed(1)} MB unpacked`)
  // Before anything else is installed, so that a dependency that the package forgot to name is missed.
  inNode()
  install('-D', ...versioned(['typescript', 'vite']))
  inBrowserTypes()
  install('-D', ...versioned(['@types/node']))
  inTypeScript()
  firstLoad()
  await inBrowser()
  withoutScripts(tarball)
  tryInstall('webpack@5') || delete bundlers.webpack
  await inBundles()
} finally {
  rmSync(project, { recursive: true, force: true })
}
