/**
 * Calls the contracts at random, far more often than the suite does, and holds their money against the invariants after
 * each call: `npm run invariants -- [--calls 10000000] [--seed 0x51]`. The calls are shared out among the three invariants.
 *
 * A failure is kept in `cache/invariant`, and the next run begins with it.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { calls: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '0x51' } } })
const calls = Number(values.calls)
if (!Number.isSafeInteger(calls) || calls < 1) throw new Error('--calls must be a whole number from 1, such as 10000000')

const CONTRACTS = ['DataTradeInvariantTest', 'TokenNetworkInvariantTest', 'ProxyTransferInvariantTest']
/** Calls in a row before the contracts are deployed anew. */
const DEPTH = 100
const runs = Math.max(1, Math.ceil(calls / CONTRACTS.length / DEPTH))

for (const contract of CONTRACTS) {
  console.log(`\n▸ ${contract}: ${runs} runs of ${DEPTH} calls, seed ${values.seed}`)
  const started = performance.now()
  const forge = fileURLToPath(new URL('forge.mjs', import.meta.url))
  const { status } = spawnSync(process.execPath, [forge, 'test', '--match-contract', contract, '--fuzz-seed', values.seed], {
    stdio: 'inherit',
    env: { ...process.env, FOUNDRY_INVARIANT_RUNS: String(runs), FOUNDRY_INVARIANT_DEPTH: String(DEPTH) },
  })
  console.log(`${contract}: ${((performance.now() - started) / 1000).toFixed(0)} s`)
  if (status !== 0) process.exit(status ?? 1)
}
