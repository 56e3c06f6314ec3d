/**
 * The money that stands behind the clients of a tower, as the chain has it.
 * @module
 */
import type { Provider } from 'ethers'
import { tokenNetworkReader } from '../../contracts/tokenNetworkView.ts'
import type { Hex } from '../../core/bytes.ts'
import type { Rpc } from '../../core/chain/rpc.ts'
import type { Clock } from '../../core/clock.ts'
import { recoverAddress } from '../../core/crypto/signature.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import type { VerifyDelegation } from '../link/handshake.ts'
import type { Link } from '../link/link.ts'
import { address, decode, encode, list } from '../wire/codec.ts'
import { MAX_STAKE_CHANNELS, type Typed } from '../wire/messages.ts'
import type { Book, Stake } from './book.ts'
import { tierOf } from './places.ts'
import { decodeStakeChannels, stakeDigest } from './receipt.ts'

/** What stakes are read with. */
export interface StakesParts {
  readonly chainId: bigint
  readonly tower: Hex
  readonly provider: Provider
  readonly rpc: Rpc
  readonly store: Store
  readonly book: Book
  readonly tokenNetworks: readonly Hex[]
  readonly verifyDelegation: VerifyDelegation
  /** What an answer must gain at least, in a network's token: less at stake is nothing. */
  readonly leastFor: (tokenNetwork: Hex) => Promise<bigint>
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
}

/** See {@link createStakes}. */
export interface Stakes {
  /** Takes what a client states, once every few seconds of a link. */
  state(link: Link, message: Typed<'stake'>): void
  /** What stands behind a client, once that is known; what it stated on an earlier link counts too. */
  of(link: Link): Promise<Stake | undefined>
  /** Looks again at those that were not looked at for an hour, and ranks them anew. */
  review(): Promise<void>
}

/** Milliseconds between two statements of one link. */
const STATE_EVERY = 2_000
/** Milliseconds after which the chain is asked again. */
const REVIEW_AFTER = 3_600_000
/** Clients that are reviewed at once. */
const REVIEW_AT_ONCE = 4

const layout = { account: address, channels: list({ tokenNetwork: address, partner: address }, MAX_STAKE_CHANNELS) } as const
type Stated = ReturnType<typeof decode<typeof layout>>
const prefix = 'stake/'
const OPEN = 1n
const CLOSED = 2n

/** Opens what a store has of stakes. */
export async function createStakes(parts: StakesParts): Promise<Stakes> {
  const { chainId, tower, provider, rpc, store, book, tokenNetworks, verifyDelegation, leastFor, clock, log, signal } = parts
  /** Statements of clients that have a place, and when the chain was asked. */
  const stated = new Map<Hex, { readonly stated: Stated; readonly at: number }>()
  const live = new WeakMap<Link, { readonly at: number; readonly stake: Promise<Stake | undefined> }>()
  /** Of each account the one client that its money stands behind: the last that it named. */
  const clientOf = new Map<Hex, Hex>()
  for await (const [key, value] of store.list(prefix)) {
    const client = key.slice(prefix.length) as Hex
    const each = decode(layout, value)
    stated.set(client, { stated: each, at: clock.now() })
    clientOf.set(each.account, client)
  }
  return { state, of, review }

  function state(link: Link, message: Typed<'stake'>): void {
    const before = live.get(link)
    if (before && Math.abs(clock.now() - before.at) < STATE_EVERY) return
    const stake = take(link.account, message).catch((error: unknown) => {
      log.info('a stake is not believed', { client: link.account, reason: String(error) })
      return undefined
    })
    live.set(link, { at: clock.now(), stake })
  }

  async function of(link: Link): Promise<Stake | undefined> {
    const told = live.get(link)
    if (told) return told.stake
    const known = stated.get(link.account)
    return known && read(known.stated).catch(() => undefined)
  }

  async function take(client: Hex, { account, channels, signature, delegation }: Typed<'stake'>): Promise<Stake | undefined> {
    const signer = recoverAddress(stakeDigest(chainId, { tower, client, account }), signature).toLowerCase() as Hex
    const mine = delegation.length === 0 ? signer === account : await verifyDelegation(account, signer, delegation)
    if (!mine) return undefined
    const said = { account, channels: decodeStakeChannels(channels) }
    const stake = await read(said)
    if (!stake) return undefined
    // One account's money stands behind one client only.
    const other = clientOf.get(account)
    if (other && other !== client) {
      stated.delete(other)
      await store.write([{ key: prefix + other, value: null }])
      await book.rank(other, undefined)
    }
    clientOf.set(account, client)
    stated.set(client, { stated: said, at: clock.now() })
    await store.write([{ key: prefix + client, value: encode(layout, said) }])
    await book.rank(client, stake)
    return stake
  }

  /** Adds up, of the network with the highest rank, the channels that hold money, up to the first that does not. */
  async function read({ account, channels }: Stated): Promise<Stake | undefined> {
    const amounts = new Map<Hex, bigint>()
    const seen = new Set<string>()
    for (const { tokenNetwork, partner } of channels) {
      const pair = `${tokenNetwork}/${partner}`
      if (!tokenNetworks.includes(tokenNetwork) || seen.has(pair)) break
      seen.add(pair)
      const ask = () => tokenNetworkReader(tokenNetwork, provider).channel(account, partner)
      const found = await rpc.ask('channel', ask, { attempts: 2, signal })
      const amount = found.deposit1 + found.deposit2 - found.withdrawn1 - found.withdrawn2
      if ((found.state !== OPEN && found.state !== CLOSED) || amount <= 0n) break
      amounts.set(tokenNetwork, (amounts.get(tokenNetwork) ?? 0n) + amount)
    }
    let best: Stake | undefined
    for (const [tokenNetwork, amount] of amounts) {
      const least = await leastFor(tokenNetwork)
      const stake = { account, tokenNetwork, amount, tierFor: (places: number) => tierOf(amount / BigInt(places), least) }
      if (!best || stake.tierFor(1) > best.tierFor(1)) best = stake
    }
    return best
  }

  async function review(): Promise<void> {
    const due = [...stated].filter(([, { at }]) => clock.now() - at >= REVIEW_AFTER).slice(0, REVIEW_AT_ONCE)
    for (const [client, { stated: said }] of due) {
      if (!book.knows(client)) {
        stated.delete(client)
        if (clientOf.get(said.account) === client) clientOf.delete(said.account)
        await store.write([{ key: prefix + client, value: null }])
        continue
      }
      stated.set(client, { stated: said, at: clock.now() })
      await book.rank(client, await read(said))
    }
  }
}
