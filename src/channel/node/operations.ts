/**
 * What a node does on chain when it is asked to: opens channels, pays in, takes out, closes, settles. Loaded with the first of
 * these calls: who only pays and is paid does without.
 * @module
 */
import type { Signer } from 'ethers'
import type { Hex } from '../../core/bytes.ts'
import type { TransactionCall } from '../../core/chain/sender.ts'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../../core/errors.ts'
import type { BlockchainService } from '../chain/blockchainService.ts'
import type { Opening } from '../chain/transactions.ts'
import type { Agreements } from './agreements.ts'
import { channelIdOf, type Channel } from './channel.ts'
import { noChannel, type ChainState } from './chainState.ts'
import type { NodeContext } from './context.ts'
import type { Proofs } from './proofs.ts'
import { relayableClose, relayableOpen } from './relay.ts'

/** Options of each operation. */
export interface OperationOptions {
  /** Stops waiting; what was sent to the chain is seen through all the same. */
  readonly signal?: AbortSignal | undefined
}

/** A channel to open. */
export interface OpenRequest extends OperationOptions {
  readonly partner: string
  /** In the token's smallest unit. @default 0n */
  readonly deposit?: bigint | undefined
  /** @default the node's only one */
  readonly tokenNetwork?: string | undefined
}

/** Channels to open together. */
export interface OpenManyRequest extends OperationOptions {
  readonly channels: readonly Pick<OpenRequest, 'partner' | 'deposit'>[]
  /** @default the node's only one */
  readonly tokenNetwork?: string | undefined
}

/** How to end a channel. */
export interface CloseOptions extends OperationOptions {
  /** @default together if the partner is there and agrees, else alone */
  readonly how?: 'together' | 'alone' | undefined
}

/** See {@link createOperations}; what each does is told by the `ChannelNode`. */
export interface Operations {
  open(request: OpenRequest): Promise<Channel>
  openMany(request: OpenManyRequest): Promise<readonly Channel[]>
  readonly relayable: {
    open(request: OpenRequest & { readonly deposit: bigint }): Promise<TransactionCall>
    close(channelId: string): Promise<TransactionCall>
  }
  deposit(channelId: string, totalDeposit: bigint, options?: OperationOptions): Promise<Channel>
  withdraw(channelId: string, totalWithdraw: bigint, options?: OperationOptions): Promise<Channel>
  close(channelId: string, options?: CloseOptions): Promise<Channel>
  settle(channelId: string, options?: OperationOptions): Promise<Channel>
}

/** What the operations stand on. */
export interface OperationParts {
  readonly context: NodeContext
  readonly chain: BlockchainService
  readonly signer: Signer
  readonly proofs: Proofs
  readonly chainState: ChainState
  agreements(): Promise<Agreements>
  /** Ends this node's stream in a channel. */
  fold(channel: Channel): Promise<void>
  /** The node's token network if none is named. @throws `BAD_ARGUMENT` */
  only(tokenNetwork: string | undefined): Hex
  /** How deep a block must lie to count. */
  readonly confirmations: number
  /** Milliseconds without a new block after which confirmations are no longer waited for. */
  readonly patience: number
}

/** Milliseconds to wait for a partner to see a deposit. */
const SEEN_TIMEOUT = 30_000
/** Milliseconds to look for a partner that is to consent to a channel. */
const REACH_TIMEOUT = 10_000
/** Milliseconds between two looks at what an operation waits for, and at the newest block. */
const LOOK = 20
const LOOK_AT_HEAD = 1_000

/** Creates what a node does on chain. */
export function createOperations(parts: OperationParts): Operations {
  const { context, chain, signer, proofs, chainState, agreements, fold, only, confirmations, patience } = parts
  const { account, sessionKey, channels, clock, journal, links, log } = context

  const find = (channelId: string): Channel => {
    const channel = channels.get(channelId.toLowerCase() as Hex)
    if (!channel) throw noChannel(channelId)
    return channel
  }

  /** Finds out the id of the next channel with a partner, and has it consent if it is there. */
  async function prepareOpening(at: Hex, to: string, signal: AbortSignal | undefined) {
    const partner = to.toLowerCase() as Hex
    const shown = await chain.channel(at, partner)
    const link =
      links.get(partner) ??
      (await withDeadline({ what: `a link to ${partner}`, ms: REACH_TIMEOUT, signal, clock }, (stop) =>
        links.connect(partner, { signal: stop }),
      ).catch((error: unknown) => {
        if (isSluiceError(error, 'ABORTED')) throw error
        return undefined // opened without its consent then
      }))
    context.assertRunning()
    const channelId = channelIdOf(at, account, partner, Number(shown.epoch) + 1)
    // While the pair has a channel there is nothing to consent to: the transaction will say so.
    const free = shown.state !== 1n && shown.state !== 2n
    const consent = link && free ? await (await agreements()).open(link, at, channelId, signal) : undefined
    return { partner, channelId, consent }
  }

  /** Waits until both nodes have seen each of some channels. */
  async function opened(
    ones: readonly { readonly channelId: Hex; readonly deposit: bigint }[],
    signal: AbortSignal | undefined,
  ): Promise<Channel[]> {
    const isHere = ({ channelId, deposit }: (typeof ones)[number]): boolean =>
      (channels.get(channelId)?.ownDeposit ?? -1n) >= deposit
    await until('confirmation of the channel', () => ones.every(isHere), signal)
    const deposits = ones.map(({ channelId, deposit }) => ({ channel: channels.get(channelId)!, deposit }))
    await seen(deposits, signal)
    return deposits.map(({ channel }) => channel)
  }

  /** Waits until something about a channel holds, or the time is over. */
  const until = (what: string, holds: () => boolean, signal: AbortSignal | undefined, ms?: number): Promise<void> =>
    withDeadline({ what, ms, signal, clock }, async (ended) => {
      while (!holds() && !ended.aborted) {
        context.assertRunning()
        await clock.sleep(LOOK, ended).catch(() => {})
      }
    })

  /**
   * Runs what sends a transaction and waits for what it brings about, while the chain makes blocks.
   * @throws `CHAIN_STALLED` when it makes none after the transaction has left: confirmations would never come.
   */
  async function through<T>(
    what: string,
    signal: AbortSignal | undefined,
    run: (waiting: { readonly signal: AbortSignal; readonly onSent: () => void }) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal, what)
    const stop = new AbortController()
    const onAbort = (): void => stop.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    let hasLeft = false
    const watching = new AbortController()
    const standstill = new Promise<never>((_, reject) => {
      let head = -1
      let since = clock.now()
      const look = async (): Promise<void> => {
        for (;;) {
          await clock.sleep(LOOK_AT_HEAD, watching.signal)
          const newest = await chain.head().catch(() => undefined)
          if (!hasLeft || newest === undefined || newest !== head) since = clock.now()
          head = newest ?? head
          if (clock.now() - since < patience) continue
          const seconds = Math.floor((clock.now() - since) / 1000)
          return reject(
            new SluiceError(
              'CHAIN_STALLED',
              `${what} was sent, but no block has come for ${seconds} s, and ${confirmations} confirmations are waited for: on a ` +
                'chain that makes blocks only with transactions set confirmations to 1; else it goes on as soon as blocks come',
              { details: { confirmations, seconds } },
            ),
          )
        }
      }
      look().catch(() => {}) // called off below
    })
    try {
      return await Promise.race([run({ signal: stop.signal, onSent: () => (hasLeft = true) }), standstill])
    } finally {
      signal?.removeEventListener('abort', onAbort)
      watching.abort('over')
      stop.abort('over')
    }
  }

  /** Waits until each partner that is there has seen our deposit: before, it can't be spent. */
  const seen = (
    deposits: readonly { readonly channel: Channel; readonly deposit: bigint }[],
    signal: AbortSignal | undefined,
  ): Promise<void> =>
    until(
      'confirmation of the partner',
      () => deposits.every(({ channel, deposit }) => channel.seenDeposit >= deposit || !links.get(channel.partner)),
      signal,
      SEEN_TIMEOUT,
    ).catch((error: unknown) => {
      if (!isSluiceError(error, 'TIMEOUT')) throw error
    })

  /** Asserts that this node can leave a channel without its partner: one that began by consent is closed with a proof only. */
  function assertWayOut(channel: Channel): void {
    if (!channel.consented || chainState.theirProof(channel)) return
    throw new SluiceError('PROOF_INVALID', `${channel.partner} has signed no proof that channel ${channel.id} could be closed with`, {
      details: { channelId: channel.id, partner: channel.partner },
    })
  }

  /** From now on nothing more is taken in a channel: it is closed with what was accepted before. */
  function endIn(channel: Channel): void {
    channel.closing = { amount: 0n, validUntil: Number.MAX_SAFE_INTEGER }
    proofs.saveChannel(channel)
  }

  return {
    async open({ partner, deposit = 0n, tokenNetwork, signal }) {
      const at = only(tokenNetwork)
      const opening = await prepareOpening(at, partner, signal)
      return through('opening the channel', signal, async (waiting) => {
        await (await chain.transactions()).open(at, { ...opening, deposit, sessionKey }, waiting)
        return (await opened([{ channelId: opening.channelId, deposit }], waiting.signal))[0]!
      })
    },

    async openMany({ channels: wanted, tokenNetwork, signal }) {
      const at = only(tokenNetwork)
      const openings: Opening[] = []
      const ids: Hex[] = []
      for (const { partner, deposit = 0n } of wanted) {
        const { channelId, ...opening } = await prepareOpening(at, partner, signal)
        openings.push({ ...opening, deposit, sessionKey })
        ids.push(channelId)
      }
      return through('opening the channels', signal, async (waiting) => {
        await (await chain.transactions()).openMany(at, openings, waiting)
        return opened(
          openings.map(({ deposit }, i) => ({ channelId: ids[i]!, deposit })),
          waiting.signal,
        )
      })
    },

    relayable: {
      async open({ partner, deposit, tokenNetwork, signal }) {
        const at = only(tokenNetwork)
        const { channelId, partner: to, consent } = await prepareOpening(at, partner, signal)
        return relayableOpen(context, signer, chain.networks.get(at)!, channelId, to, deposit, consent)
      },
      async close(channelId) {
        const channel = find(channelId)
        endIn(channel)
        await journal.settled()
        const proof = chainState.theirProof(channel)
        return relayableClose(context, channel, chain.account, proof ?? NO_PROOF, proof ? chainState.theirDigest(channel) : NONE)
      },
    },

    async deposit(channelId, totalDeposit, { signal } = {}) {
      const channel = find(channelId)
      const more = totalDeposit - channel.ownDeposit
      assertArgument(more > 0n, 'totalDeposit', `above ${channel.ownDeposit}`)
      assertWayOut(channel)
      const key = context.counts(channel) ? undefined : sessionKey
      const sending = await chain.transactions()
      return through('the deposit', signal, async (waiting) => {
        await sending.deposit(channel.tokenNetwork, channel.partner, totalDeposit, more, { ...waiting, sessionKey: key })
        await until('confirmation of the deposit', () => channel.ownDeposit >= totalDeposit, waiting.signal)
        await seen([{ channel, deposit: totalDeposit }], waiting.signal)
        return channel
      })
    },

    async withdraw(channelId, totalWithdraw, { signal } = {}) {
      const channel = find(channelId)
      const { validUntil, signature } = await (await agreements()).withdraw(channel, totalWithdraw, signal)
      const sending = await chain.transactions()
      return through('the withdrawal', signal, async (waiting) => {
        await sending.withdraw(channel.tokenNetwork, channel.partner, totalWithdraw, validUntil, signature, waiting)
        await until('confirmation of the withdrawal', () => channel.ownWithdrawn >= totalWithdraw, waiting.signal)
        return channel
      })
    },

    async close(channelId, { how, signal } = {}) {
      const channel = find(channelId)
      if (channel.phase === 'open' && !channel.closing) await fold(channel)
      if (how !== 'alone') {
        try {
          await until('receipts of the last payments', () => channel.unacked.size === 0 || !channel.synced, signal, SEEN_TIMEOUT)
          const { balance1, balance2, validUntil, signature } = await (await agreements()).close(channel, signal)
          const pair = channel.first ? ([account, channel.partner] as const) : ([channel.partner, account] as const)
          const none = new Uint8Array(0)
          const signatures = channel.first ? ([none, signature] as const) : ([signature, none] as const)
          const sending = await chain.transactions()
          return await through('the closing', signal, async (waiting) => {
            await sending.closeCooperatively(channel.tokenNetwork, pair, [balance1, balance2], validUntil, signatures, waiting)
            await until('confirmation of the closing', () => channel.phase === 'settled', waiting.signal)
            return channel
          })
        } catch (error) {
          if (
            how === 'together' ||
            !isSluiceError(error) ||
            (['ABORTED', 'STOPPED', 'CHAIN_STALLED', 'CHANNEL_NOT_OPEN'] as const).some((code) => isSluiceError(error, code))
          )
            throw error
          log.info('the channel is closed alone', { channelId: channel.id, code: error.code, reason: error.shortMessage })
        }
      }
      const { closing } = channel
      endIn(channel)
      return through('the closing', signal, async (waiting) => {
        try {
          const proof = chainState.theirProof(channel) ?? NO_PROOF
          await (await chain.transactions()).close(channel.tokenNetwork, channel.id, channel.partner, proof, waiting)
        } catch (error) {
          if (!isSluiceError(error, 'TRANSACTION_UNKNOWN')) {
            channel.closing = closing // it has not happened, and won't
            proofs.saveChannel(channel)
          }
          throw error
        }
        await until('confirmation of the closing', () => channel.phase !== 'open', waiting.signal)
        return channel
      })
    },

    async settle(channelId, { signal } = {}) {
      const channel = find(channelId)
      const { presented, closedByUs, partner } = channel
      if (channel.phase === 'open' || !presented)
        throw new SluiceError('CHANNEL_NOT_OPEN', `channel ${channelId} is ${channel.phase}, not closed`, {
          details: { channelId },
        })
      if (channel.phase === 'closed') {
        const [closer, other] = closedByUs ? [account, partner] : [partner, account]
        const sending = await chain.transactions()
        await through('the settlement', signal, async (waiting) => {
          await sending.settle(channel.tokenNetwork, channel.id, closer, other, presented, waiting)
          await until('confirmation of the settlement', () => channel.phase === 'settled', waiting.signal)
        })
      }
      return channel
    },
  }
}

const NONE: Hex = `0x${'00'.repeat(32)}`
const EMPTY = new Uint8Array(0)
/** What a channel is closed with if the partner has signed nothing. */
const NO_PROOF = {
  nonce: 0,
  transferred: 0n,
  locked: 0n,
  locksroot: NONE,
  stream: NONE,
  ref: NONE,
  watch: NONE,
  signature: EMPTY,
  steps: EMPTY,
} as const
