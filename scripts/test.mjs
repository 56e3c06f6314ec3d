/**
 * Runs every test, of TypeScript and of Solidity, and ends with one line that sums them up: `N passed, N failed`.
 *
 * With arguments, runs vitest alone and hands them on: `npm test -- src/core`.
 * @module
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

const root = fileURLToPath(new URL('../', import.meta.url))

/** Runs a Node program, shows what it prints, and tells its last lines and how it ended. */
function run(args, { capture }) {
  return new Promise(resolve => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['inherit', capture ? 'pipe' : 'inherit', 'inherit'] })
    let output = ''
    child.stdout?.on('data', chunk => {
      process.stdout.write(chunk)
      output = (output + chunk).slice(-100_000)
    })
    child.on('error', error => resolve({ ok: false, output: String(error) }))
    child.on('close', code => resolve({ ok: code === 0, output: stripVTControlCharacters(output) }))
  })
}

/** A run that failed without a failed test (it did not compile, it crashed) counts as one failure. */
const tally = (ok, passed, failed, names = []) => ({ passed, failed: ok ? failed : Math.max(failed, 1), names })

async function vitest(args) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const file = join(folder, 'vitest.json')
  const { ok } = await run([
    'node_modules/vitest/vitest.mjs', 'run', ...args, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`,
  ], { capture: false })
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'))
    const files = report.testResults.filter(({ status, assertionResults }) => status === 'failed'
      && !assertionResults.some(result => result.status === 'failed'))
    const tests = report.testResults.flatMap(({ name, assertionResults }) => assertionResults
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => `${relative(root, name)}: ${fullName}: ${failureMessages[0]?.split('\n', 1)[0]}`))
    return tally(ok, report.numPassedTests, report.numFailedTests + files.length,
      [...tests, ...files.map(({ name, message }) => `${relative(root, name)}: ${message.split('\n', 1)[0]}`)])
  } catch {
    return tally(false, 0, 1)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function forge() {
  const { ok, output } = await run(['scripts/forge.mjs', 'test'], { capture: true })
  const [, passed, failed] = /(\d+) tests passed, (\d+) failed/.exec(output) ?? []
  const names = [...output.matchAll(/^\[FAIL.*$/gm)].map(([line]) => line)
  return passed === undefined ? tally(false, 0, 1) : tally(ok, Number(passed), Number(failed), names)
}

const args = process.argv.slice(2)
const results = [await vitest(args)]
if (args.length === 0) results.push(await forge())

// Once more, at the end: of a long output often only that is kept.
for (const name of results.flatMap(({ names }) => names)) console.log(`failed: ${name}`)

const sum = key => results.reduce((total, result) => total + result[key], 0)
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`)
process.exitCode = sum('failed') === 0 ? 0 : 1
