/**
 * Runs forge from npm on the Solidity tests, with the compiler from npm: nothing is downloaded.
 *
 *     node scripts/forge.mjs test [ARGUMENTS OF FORGE]
 *
 * Forge wants a native compiler. It gets a launcher that starts this file again, with `--as-solc`, to play one. What
 * the tests deploy is compiled apart, to `cache/deployed`, with the settings that we deploy with.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const [first, ...rest] = process.argv.slice(2)

if (first === '--as-solc') await beSolc(rest)
else {
  await compileDeployed()
  runForge(process.argv.slice(2))
}

/** What forge asks of a compiler: its version, or to compile the JSON on its input. */
async function beSolc(args) {
  const { default: solc } = await import('solc')
  if (args.includes('--version')) {
    console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`)
  } else {
    process.stdout.write(solc.compile(readFileSync(0, 'utf8')))
  }
}

/** Writes the creation code of what we deploy, unless it is there already. */
async function compileDeployed() {
  const folder = join(root, 'cache/deployed')
  const sources = readdirSync(join(root, 'src/contracts/solidity')).map(name => `src/contracts/solidity/${name}`)
  const inputs = [...sources, 'scripts/solc.mjs', 'node_modules/solc/package.json', 'node_modules/@openzeppelin/contracts/package.json']
  const hash = createHash('sha256')
  for (const input of inputs) hash.update(readFileSync(join(root, input))).update('\0')
  const key = hash.digest('hex')
  const keyFile = join(folder, 'inputs')
  if (existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key) return
  const { compile } = await import('./solc.mjs')
  mkdirSync(folder, { recursive: true })
  for (const [name, { abi, bytecode }] of Object.entries(compile(sources))) {
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ abi, bytecode }))
  }
  writeFileSync(keyFile, key)
}

function runForge(args) {
  const cache = join(root, 'cache')
  mkdirSync(cache, { recursive: true })
  const windows = process.platform === 'win32'
  const launcher = join(cache, windows ? 'solc.cmd' : 'solc')
  const command = `"${process.execPath}" "${fileURLToPath(import.meta.url)}" --as-solc`
  const text = windows ? `@${command} %*\r\n` : `#!/bin/sh\nexec ${command} "$@"\n`
  // Left alone if it is right: forge compiles anew when its compiler changes.
  if (!existsSync(launcher) || readFileSync(launcher, 'utf8') !== text) writeFileSync(launcher, text, { mode: 0o755 })
  const { status, error } = spawnSync(findForge(), args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, FOUNDRY_SOLC: launcher, FOUNDRY_DISABLE_NIGHTLY_WARNING: '1' },
  })
  if (error) throw error
  process.exit(status ?? 1)
}

/** The binary of this machine, or where npm's install script of forge puts one. */
function findForge() {
  const require = createRequire(import.meta.url)
  const name = process.platform === 'win32' ? 'forge.exe' : 'forge'
  const machine = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const manifest = require.resolve('@foundry-rs/forge/package.json')
  try {
    return createRequire(manifest).resolve(`@foundry-rs/forge-${machine}/bin/${name}`)
  } catch {
    return join(dirname(manifest), '..', 'dist', name)
  }
}
