/**
 * Kills sellers and buyers at random points of a trade, nodes of payment channels, or servers of an exchange, and checks after
 * each that nobody has lost or doubled anything: `node scripts/soak/kill.mjs [channel | exchange] [--runs 200] [--seed N]`. A
 * seed repeats a run's choices, though not its timing.
 * @module
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('killMain.ts', import.meta.url))
const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', program, ...process.argv.slice(2)], {
  cwd: fileURLToPath(new URL('../../', import.meta.url)),
  stdio: 'inherit',
})
child.on('close', code => (process.exitCode = code ?? 1))
