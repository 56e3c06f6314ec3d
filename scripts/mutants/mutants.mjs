/**
 * Takes guards out, one at a time, and tells which ones no test misses.
 *
 *     npm run mutants -- PATH... [--tests FILTER] [--list] [--json FILE]
 *
 * PATH is a file or folder below `src`: TypeScript, or `src/contracts/solidity`. A guard is an `if` that throws, an
 * `assertArgument`, in Solidity an `if` that reverts. For TypeScript one run of the tests notes which files make which
 * guard refuse something; a guard that none does has survived, each other is taken out and those files run again.
 * FILTER limits that to test files whose path contains it. Tests that fail with every guard in place would pass for
 * killers: nothing is judged then.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { guardsOfSolidity, guardsOfTypeScript } from './guards.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tests: { type: 'string' }, list: { type: 'boolean', default: false }, json: { type: 'string' } },
})

/** Files below a path, with an ending, tests and generated ones aside. */
function filesOf(path, ending) {
  const full = join(root, path)
  if (!existsSync(full)) throw new Error(`there is no ${path}`)
  if (statSync(full).isFile()) return full.endsWith(ending) ? [path] : []
  return readdirSync(full, { recursive: true })
    .filter(name => name.endsWith(ending) && !/generated|\.test\.ts$|\.testing\.ts$/.test(name))
    .map(name => join(path, name)).sort()
}

if (positionals.length === 0) throw new Error('name a path, such as src/payments')

const guardsIn = (ending, parse) => positionals.flatMap(path => filesOf(path, ending))
  .flatMap(file => parse(readFileSync(join(root, file), 'utf8')).map(guard => ({ file, ...guard })))

const name = ({ file, line, text }) => `${file}:${line} ${text}`
const results = []

function judge(guard, survived, why) {
  results.push({ file: guard.file, line: guard.line, guard: guard.text, survived, why })
  console.log(`${survived ? 'SURVIVED' : 'killed  '} ${name(guard)} (${why})`)
}

function runTypeScript(guards) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-mutants-'))
  const list = join(folder, 'guards.json')
  writeFileSync(list, JSON.stringify(guards.map((guard, id) => ({ id, ...guard, file: join(root, guard.file) }))))
  const vitest = (filters, env, more) => spawnSync(process.execPath, [
    'node_modules/vitest/vitest.mjs', 'run', '--config', 'scripts/mutants/vitest.config.mjs', ...filters, ...more,
  ], { cwd: root, encoding: 'utf8', env: { ...process.env, SLUICE_GUARDS: list, ...env }, maxBuffer: 1 << 28 })
  console.log(`${guards.length} guards; one run of the tests notes what makes them refuse`)
  const { status, stdout } = vitest(values.tests ? [values.tests] : [], { SLUICE_GUARDS_FIRED: folder }, [])
  if (status !== 0) throw new Error(`the tests fail before a guard is taken out:\n${stdout.slice(-2000)}`)
  const firedBy = new Map()
  for (const file of readdirSync(folder).filter(each => each.startsWith('fired-'))) {
    const { test, fired } = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    for (const id of fired) firedBy.set(id, [...(firedBy.get(id) ?? []), relative(root, test)])
  }
  // Unit tests first: they are quick, and one failure is enough.
  const quick = (a, b) => Number(a.startsWith('test/')) - Number(b.startsWith('test/'))
  for (const [id, guard] of guards.entries()) {
    const tests = (firedBy.get(id) ?? []).sort(quick)
    if (tests.length === 0) {
      judge(guard, true, 'no test makes it refuse')
      continue
    }
    const killer = tests.find(test => vitest([test], { SLUICE_GUARD: String(id) }, ['--bail=1']).status !== 0)
    judge(guard, killer === undefined, killer ?? `passes: ${tests.join(', ')}`)
  }
  rmSync(folder, { recursive: true })
}

function runSolidity(guards) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-mutants-'))
  for (const part of ['src/contracts/solidity', 'src/testing/solidity', 'test/solidity', 'scripts', 'foundry.toml', 'package.json']) {
    cpSync(join(root, part), join(folder, part), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  mkdirSync(join(folder, 'cache'), { recursive: true })
  // Fewer random cases than the suite has: a guard that only many of them need is told apart by hand.
  const env = { ...process.env, FOUNDRY_FUZZ_RUNS: '24', FOUNDRY_INVARIANT_RUNS: '4', FOUNDRY_INVARIANT_DEPTH: '48' }
  const forge = () => spawnSync(process.execPath, ['scripts/forge.mjs', 'test', '--fail-fast'], { cwd: folder, encoding: 'utf8', env })
  const whole = forge()
  if (whole.status !== 0) throw new Error(`the tests fail before a guard is taken out:\n${(whole.stdout + whole.stderr).slice(-2000)}`)
  for (const guard of guards) {
    const target = join(folder, guard.file)
    const source = readFileSync(join(root, guard.file), 'utf8')
    writeFileSync(target, guard.without(source))
    const { status, stdout, stderr } = forge()
    writeFileSync(target, source)
    const [failed] = /\[FAIL[^\n]*/.exec(stdout) ?? []
    // What does not compile without its guard has not been tried.
    judge(guard, failed === undefined, failed ?? (status === 0 ? 'all tests of contracts pass' : `not tried: ${stderr.slice(-200)}`))
  }
  rmSync(folder, { recursive: true })
}

const typeScript = guardsIn('.ts', guardsOfTypeScript)
const solidity = guardsIn('.sol', guardsOfSolidity)
if (values.list) for (const guard of [...typeScript, ...solidity]) console.log(name(guard))
else {
  if (typeScript.length > 0) runTypeScript(typeScript)
  if (solidity.length > 0) runSolidity(solidity)
  const survivors = results.filter(({ survived }) => survived)
  console.log(`\n${results.length} guards, ${survivors.length} survived`)
  if (values.json) writeFileSync(values.json, `${JSON.stringify(results, undefined, 2)}\n`)
}
