/**
 * An exchange on a chain as a process of its own: what it needs comes as JSON. Prints where it listens, and
 * its CPU time whenever it reads a line.
 * @module
 */
import { createInterface } from 'node:readline'
import { JsonRpcProvider, Network, Wallet } from 'ethers'
import { toHex } from '../../src/core/bytes.ts'
import { grapheneKey, seedSecret } from '../../src/core/crypto/graphene/index.ts'
import { createExchangeServer, listenHttp } from '../../src/des/server/index.ts'

/** What such a process is told. */
export interface ChainExchangeJob {
  readonly rpc: string
  readonly database: string
  readonly proxyTransfer: string
  readonly evidence: string
  readonly fromBlock: number
  readonly confirmations: number
  /** Seeds the exchange's key. */
  readonly name: string
  readonly operatorToken: string
}

const { rpc, database, name, operatorToken, ...chain } = JSON.parse(process.argv[2]!) as ChainExchangeJob
const secret = seedSecret(name)
const provider = new JsonRpcProvider(rpc, undefined, { cacheTimeout: -1, staticNetwork: Network.from(31337) })
const server = await createExchangeServer({
  database,
  key: grapheneKey(secret),
  percent: 1000,
  operatorToken,
  chain: { ...chain, signer: new Wallet(toHex(secret), provider) },
  rules: { allowPrivateAddresses: true, offlineAfter: 3_600_000, clockSkew: 3_600_000, decimals: 18 },
})
await server.start()
const listener = await listenHttp(server)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
say({ url: listener.url, exchange: server.account })
createInterface({ input: process.stdin })
  .on('line', () => {
    const { user, system } = process.cpuUsage()
    say({ cpu: (user + system) / 1e6 })
  })
  .on('close', () => process.exit())
