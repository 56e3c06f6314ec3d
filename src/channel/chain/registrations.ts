/**
 * Finds out when secrets became public, whenever that was. Loaded when a lock is about to expire.
 * @module
 */
import type { Filter, Log, Provider } from 'ethers'
import { secretRegistryInterface } from '../../contracts/secretRegistry.ts'
import type { Hex } from '../../core/bytes.ts'
import { asksTooMuch, type Rpc } from '../../core/chain/rpc.ts'
import { SluiceError } from '../../core/errors.ts'
import { decodeChainEvent } from './chainEvents.ts'

/** The registration by which a secret became public. */
export interface Registration {
  /** Under which the registry keeps its time. */
  readonly key: Hex
  /** The secrets that were registered together, in their order. */
  readonly secrethashes: readonly Hex[]
  readonly secrethash: Hex
  readonly secret: Hex
  /** Of the block, in Unix seconds. */
  readonly at: number
}

/** Where to search, and for what. */
export interface RegistrationSearch {
  readonly provider: Provider
  readonly rpc: Rpc
  readonly secretRegistry: Hex
  readonly secrethashes: readonly Hex[]
  readonly fromBlock: number
}

const REVEALED = /* @__PURE__ */ secretRegistryInterface.getEvent('SecretRevealed').topicHash

/** Searches for the first registration of each secret, from a block on. @throws `RPC_FAILED` */
export async function searchRegistrations(search: RegistrationSearch): Promise<readonly Registration[]> {
  const { provider, rpc, secretRegistry: address, secrethashes, fromBlock } = search
  const first = new Map<string, Log>()
  const topics = [REVEALED, [...secrethashes]]
  for (const log of await logsOf({ address, topics }, fromBlock, await rpc.head({ attempts: 3 })))
    if (!first.has(log.topics[1]!)) first.set(log.topics[1]!, log)
  const found = []
  for (const log of first.values()) found.push(await registrationOf(log))
  return found

  /** In halves where the node refuses the whole. */
  function logsOf(filter: Filter, from: number, to: number): Promise<Log[]> {
    const ask = (): Promise<Log[]> => provider.getLogs({ ...filter, fromBlock: from, toBlock: to })
    return rpc.ask('logs', ask, { attempts: 3 }).catch(async (error: unknown) => {
      if (from === to || !asksTooMuch(error)) throw error
      const middle = Math.floor((from + to) / 2)
      return [...(await logsOf(filter, from, middle)), ...(await logsOf(filter, middle + 1, to))]
    })
  }

  /** Finds out with which others a secret was registered. */
  async function registrationOf(log: Log): Promise<Registration> {
    const { address, blockHash, transactionHash, index } = log
    const [header, logs] = await Promise.all([
      rpc.header(log.blockNumber, { attempts: 3 }),
      rpc.ask('logs', () => provider.getLogs({ address, blockHash }), { attempts: 3 }),
    ])
    if (header?.hash !== blockHash)
      throw new SluiceError('RPC_FAILED', `block ${log.blockNumber} has been replaced while it was read`)
    const [secrethash, secret] = [log.topics[1] as Hex, log.data as Hex]
    const before: Hex[] = []
    for (const each of logs) {
      if (each.transactionHash !== transactionHash) continue
      const event = decodeChainEvent(each)
      if (event?.type === 'secret') before.push(event.secrethash)
      if (event?.type !== 'registered' || each.index < index) continue
      const secrethashes = before.slice(-event.count)
      if (index < each.index - event.count) break // this list is another
      return { key: event.key, secrethashes, secrethash, secret, at: header.timestamp }
    }
    return { key: secrethash, secrethashes: [secrethash], secrethash, secret, at: header.timestamp }
  }
}
