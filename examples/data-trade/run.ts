/**
 * Runs seller and buyer as two processes on a development chain; with `--web`, the seller and a page that buys.
 *
 *     npm run example:data-trade
 *     npm run example:data-trade -- --web
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startDevnet } from 'sluice-sdk/testing'
import { createServer } from 'vite'
import { openTerminal } from '../lib/terminal.ts'
import { webConfig } from '../lib/webConfig.ts'

const { line } = openTerminal()
const web = process.argv.includes('--web')
const port = '9000'

const devnet = await startDevnet()
const folder = await mkdtemp(join(tmpdir(), 'sluice-data-trade-'))
// The first account is the one that the page's development wallet takes.
const [buyer, seller] = devnet.accounts
const { dataTrade, registry } = devnet.deployment
line('chain', `anvil ${devnet.chainId} at ${devnet.url}`)

/** Starts one of the two programs, with what it reads from its environment. */
function start(name: 'seller' | 'buyer', PRIVATE_KEY: string, ...args: readonly string[]): ChildProcess {
  const program = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const chain = { RPC_URL: devnet.url, DATA_TRADE: dataTrade, REGISTRY: registry }
  const settings = { ...chain, PRIVATE_KEY, PORT: port, STORE: join(folder, name) }
  return spawn(process.execPath, [...process.execArgv, program, ...args], { stdio: 'inherit', env: { ...process.env, ...settings } })
}

const selling = start('seller', seller!.privateKey)
const sold = once(selling, 'exit')
if (web) {
  const server = await createServer(webConfig(new URL('web/', import.meta.url)))
  await server.listen()
  const query = new URLSearchParams({ seller: `ws://127.0.0.1:${port}/`, contract: dataTrade, rpc: devnet.url })
  line('page', `${server.resolvedUrls!.local[0]}?${query}`)
  // Without a wallet in the browser, the page takes one of the chain's own accounts.
  process.once('SIGINT', () => void server.close())
} else {
  const buying = start('buyer', buyer!.privateKey, join(folder, 'bought'))
  const [code] = (await once(buying, 'exit')) as [number | null]
  process.exitCode = code ?? 1
  selling.kill()
}
await sold
await devnet.stop()
await rm(folder, { recursive: true })
