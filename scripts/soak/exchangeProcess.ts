/**
 * An exchange server as a process of its own, to be killed: `exchangeProcess.ts URL WIF`. Prints where it answers.
 * @module
 */
import { createExchangeServer, listenHttp } from '../../src/des/server/index.ts'

const [, , database, key] = process.argv as [string, string, string, string]
const server = await createExchangeServer({
  database,
  key,
  percent: 1000,
  operatorToken: 'operator-of-kill-runs',
  rules: { allowPrivateAddresses: true, answerTimeout: 1_000, offlineAfter: 3_600_000 },
})
await server.start()
const { url } = await listenHttp(server)
process.stdout.write(`${url}\n`)
process.stdin.on('close', () => process.exit()).resume() // whoever watches over it is gone
