/**
 * Proves that the package works once packed: installs the tarball beside ethers into an empty project and uses every
 * entry point from Node as an ES module and as CommonJS, from TypeScript under each way of resolving modules, and from
 * a Vite app in a real browser.
 *
 *     npm run pack-test
 * @module
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launchChromium } from '../src/testing/chromium.ts'
import { entries } from './entries.mjs'

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

async function inBrowser() {
  write({
    'app/index.html': '<!doctype html><title>app</title><script type="module" src="./main.js"></script>',
    'app/main.js': `${program(browserSpecifiers, imports)}\nglobalThis.report = report`,
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
    checkReport(report, browserSpecifiers)
    assert.deepEqual(errors, [])
  } finally {
    await browser.close()
    server.close()
  }
  done('Vite app in a browser')
}

try {
  run('npm', ['pack', '--pack-destination', project], { cwd: root })
  const [tarball] = readdirSync(project)
  write({ 'package.json': { name: 'consumer', private: true } })
  install(`./${tarball}`, ...versioned(['ethers']))
  done(`${tarball} installed`)
  // Before anything else is installed, so that a dependency that the package forgot to name is missed.
  inNode()
  install('-D', ...versioned(['typescript', '@types/node', 'vite']))
  inTypeScript()
  await inBrowser()
} finally {
  rmSync(project, { recursive: true, force: true })
}
