/**
 * Runs a data market with its portal, on one port of loopback.
 *
 *     npm run example:marketplace
 * @module
 */
import { once } from 'node:events'
import { openTerminal } from '../lib/terminal.ts'
import { startMarketplace } from './startMarketplace.ts'

const { heading, line } = openTerminal()
line('market', 'a month of trade is being made; this takes a few seconds')
const market = await startMarketplace({ port: Number(process.env['PORT'] ?? 8080) })
line('portal', market.url)
line('API', `${market.url}openapi.json`)
line('request', `${market.requestId}, for the evidence check`)
heading('Sign in as one of these: account, then key. The keys are of this example alone.')
for (const { account, wif, name } of market.people) line(account, `${wif}  ${name}`)

await once(process, 'SIGINT')
await market.close()
