/**
 * What the contracts have logged, decoded.
 * @module
 */
import { secretRegistryInterface } from '../../contracts/secretRegistry.ts'
import { tokenNetworkView } from '../../contracts/tokenNetworkView.ts'
import type { Hex } from '../../core/bytes.ts'
import type { ChainLog } from '../../core/chain/chainLog.ts'
import type { Presented } from '../node/channel.ts'
import { lower } from './networks.ts'

/** An event of a token network or of the secret registry. Addresses are in lower case, amounts in the smallest unit. */
export type ChainEvent =
  | {
    readonly type: 'opened'
    readonly channelId: Hex
    readonly participant1: Hex
    readonly participant2: Hex
    readonly epoch: number
    readonly consented: boolean
  }
  | { readonly type: 'deposited'; readonly channelId: Hex; readonly participant: Hex; readonly totalDeposit: bigint }
  /** `signer` signs for `participant` in the channel from then on. */
  | { readonly type: 'keyAdded'; readonly channelId: Hex; readonly participant: Hex; readonly signer: Hex }
  | { readonly type: 'withdrawn'; readonly channelId: Hex; readonly participant: Hex; readonly totalWithdraw: bigint }
  | {
    readonly type: 'closed'
    readonly channelId: Hex
    readonly closer: Hex
    readonly fromPartner: Presented
    readonly watch: Hex
    readonly settleAt: number
  }
  | { readonly type: 'updated'; readonly channelId: Hex; readonly fromCloser: Presented }
  | { readonly type: 'released'; readonly channelId: Hex; readonly sender: Hex; readonly locks: readonly Hex[] }
  | {
    readonly type: 'settled'
    readonly channelId: Hex
    readonly paid1: bigint
    readonly paid2: bigint
    readonly locked1: bigint
    readonly locked2: bigint
    readonly cooperative: boolean
  }
  | {
    readonly type: 'unlocked'
    readonly channelId: Hex
    readonly sender: Hex
    readonly toReceiver: bigint
    readonly toSender: bigint
    /** A bit for each number that was unlocked. */
    readonly numbers: bigint
  }
  | { readonly type: 'secret'; readonly secrethash: Hex; readonly secret: Hex }
  | { readonly type: 'registered'; readonly key: Hex; readonly count: number }

/** Decodes a log; undefined for one that says nothing to a node. */
export function decodeChainEvent(log: ChainLog): ChainEvent | undefined {
  const parsed = tokenNetworkView.parseLog(log) ?? secretRegistryInterface.parseLog(log)
  if (!parsed) return undefined
  const { args } = parsed
  switch (parsed.name) {
    case 'ChannelOpened':
      return {
        type: 'opened',
        channelId: args['channelId'] as Hex,
        participant1: lower(args['participant1'] as string),
        participant2: lower(args['participant2'] as string),
        epoch: Number(args['epoch']),
        consented: args['consented'] as boolean,
      }
    case 'ChannelNewDeposit':
      return {
        type: 'deposited',
        channelId: args['channelId'] as Hex,
        participant: lower(args['participant'] as string),
        totalDeposit: args['totalDeposit'] as bigint,
      }
    case 'SessionKeyAdded':
      return {
        type: 'keyAdded',
        channelId: args['channelId'] as Hex,
        participant: lower(args['participant'] as string),
        signer: lower(args['signer'] as string),
      }
    case 'ChannelWithdraw':
      return {
        type: 'withdrawn',
        channelId: args['channelId'] as Hex,
        participant: lower(args['participant'] as string),
        totalWithdraw: args['totalWithdraw'] as bigint,
      }
    case 'ChannelClosed':
      return {
        type: 'closed',
        channelId: args['channelId'] as Hex,
        closer: lower(args['closer'] as string),
        fromPartner: presented(args['fromPartner'] as RawBalance),
        watch: args['watch'] as Hex,
        settleAt: Number(args['settleAt']),
      }
    case 'NonClosingBalanceProofUpdated':
      return { type: 'updated', channelId: args['channelId'] as Hex, fromCloser: presented(args['fromCloser'] as RawBalance) }
    case 'LocksReleased':
      return {
        type: 'released',
        channelId: args['channelId'] as Hex,
        sender: lower(args['sender'] as string),
        locks: [...(args['locks'] as readonly Hex[])],
      }
    case 'ChannelSettled': {
      const [channelId, paid1, paid2, locked1, locked2, cooperative] = args as unknown as [
        Hex,
        bigint,
        bigint,
        bigint,
        bigint,
        boolean
      ]
      return { type: 'settled', channelId, paid1, paid2, locked1, locked2, cooperative }
    }
    case 'ChannelUnlocked':
      return {
        type: 'unlocked',
        channelId: args['channelId'] as Hex,
        sender: lower(args['sender'] as string),
        toReceiver: args['toReceiver'] as bigint,
        toSender: args['toSender'] as bigint,
        numbers: args['numbers'] as bigint,
      }
    case 'SecretRevealed':
      return { type: 'secret', secrethash: args['secrethash'] as Hex, secret: args['secret'] as Hex }
    case 'SecretsRegistered':
      return { type: 'registered', key: args['key'] as Hex, count: Number(args['count']) }
    default:
      return undefined
  }
}

interface RawBalance {
  readonly nonce: bigint
  readonly transferred: bigint
  readonly locked: bigint
  readonly locksroot: string
}

function presented({ nonce, transferred, locked, locksroot }: RawBalance): Presented {
  return { nonce: Number(nonce), transferred, locked, locksroot: locksroot as Hex }
}
