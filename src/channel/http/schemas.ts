/**
 * What travels over HTTP. The same schemas check what comes in and make the OpenAPI document.
 *
 * Names are Raiden's (REST API, version 1) where it has them. Amounts and identifiers are decimal text.
 * @module
 */
import { isAddress } from 'ethers'
import * as v from 'valibot'
import type { Hex } from '../../core/bytes.ts'
import type { ChannelEvents } from '../node/events.ts'

/** The most that a contract can hold for one side of a channel. */
const MAX_AMOUNT = 2n ** 104n - 1n
const MAX_IDENTIFIER = 2n ** 256n - 1n

const digits = v.pipe(v.string(), v.regex(/^(0|[1-9][0-9]{0,77})$/))
const integer = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))
/** An unsigned integer: decimal text, or a JSON number that is exact. */
const unsigned = (max: bigint, most: string, description: string) => {
  const expected = `must be decimal text or an integer up to 2^53 - 1, and at most ${most}`
  return v.pipe(
    v.union([digits, integer], expected),
    v.title('Decimal text or integer'),
    v.description(description),
    v.transform((value) => BigInt(value)),
    v.check((value) => value <= max, expected),
  )
}
const amountIn = (description: string) => unsigned(MAX_AMOUNT, '2^104 - 1', description)

const ADDRESS = /^0x[0-9a-fA-F]{40}$/
const NOT_ADDRESS = 'must be an address: 0x and 40 hex digits, with a right EIP-55 checksum if both cases are used'
/** An address: any case, but a checksum that is there has to be right. */
export const addressIn = v.pipe(
  v.string(NOT_ADDRESS),
  v.regex(ADDRESS, NOT_ADDRESS),
  v.title('Address'),
  v.check((text) => isAddress(text), NOT_ADDRESS),
  v.transform((text) => text.toLowerCase() as Hex),
)

const notOffered = (why: string) => v.optional(v.pipe(v.never(`is not offered: ${why}`), v.description(`Not offered: ${why}`)))

/** Body of PUT channels. */
export const openBody = v.strictObject({
  partner_address: addressIn,
  token_address: addressIn,
  total_deposit: v.optional(amountIn('What this node pays in')),
  settle_timeout: v.optional(
    unsigned(2n ** 53n, '2^53', 'Seconds; each token network has one, so only that is accepted'),
  ),
  reveal_timeout: notOffered('it is set for the whole node'),
})

/** Body of PATCH channels: exactly one of its fields. */
export const patchBody = v.pipe(
  v.strictObject({
    total_deposit: v.optional(amountIn('What this node is to have paid in, in all')),
    total_withdraw: v.optional(amountIn('What this node is to have taken out, in all')),
    state: v.optional(v.pipe(v.picklist(['closed', 'settled']), v.description('Ends the channel, or pays it out'))),
    reveal_timeout: notOffered('it is set for the whole node'),
  }),
  v.minEntries(1, 'must have one of total_deposit, total_withdraw and state'),
  v.maxEntries(1, 'must have only one of total_deposit, total_withdraw and state'),
)

/** Body of POST payments. */
export const payBody = v.strictObject({
  amount: amountIn('What is to arrive'),
  identifier: v.optional(unsigned(MAX_IDENTIFIER, '2^256 - 1', 'Names the payment: the same identifier is paid once')),
  max_fee: v.optional(amountIn('The most that mediators may keep on top; 5 % of the amount, and at least 1, if left out')),
  secret: notOffered('the node makes the secret'),
  secret_hash: notOffered('the node makes the secret'),
  lock_timeout: notOffered('the node chooses how long locks last'),
})

const count = (most: number, description: string) =>
  v.pipe(
    v.string(),
    v.regex(/^(0|[1-9][0-9]{0,8})$/, 'must be a number'),
    v.description(description),
    v.transform(Number),
    v.maxValue(most, `must be at most ${most}`),
  )
/** Payments in one answer, unless the query says otherwise. */
const PAGE = 100
/** Query of GET payments. */
export const pageQuery = v.strictObject({
  limit: v.optional(count(1_000, 'At most so many, up to 1000'), String(PAGE)),
  offset: v.optional(count(999_999_999, 'Leaves out so many'), '0'),
})

const amount = v.pipe(v.string(), v.regex(/^(0|[1-9][0-9]*)$/), v.title('Decimal text'))
const address = v.pipe(v.string(), v.regex(ADDRESS), v.title('Address (EIP-55)'))
const hash = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{64}$/), v.title('32 bytes'))
const time = v.pipe(v.string(), v.isoTimestamp(), v.title('Time (RFC 3339)'))
const described = <const S extends v.GenericSchema>(schema: S, text: string) => v.pipe(schema, v.description(text))

/** Answer of GET address. */
export const addressAnswer = v.object({ our_address: address })
/** Answer of GET version. */
export const versionAnswer = v.object({ version: v.string() })
const status = v.picklist(['ready', 'syncing', 'unavailable'])
/** Answer of GET status. */
export const statusAnswer = v.object({
  status,
  blocks_to_sync: v.optional(described(amount, '0 when ready; left out while it is not known')),
  block_number: v.optional(described(amount, 'Last block that counts')),
})
/** Answer of GET /health. */
export const healthAnswer = v.object({ status })
/** Answer of GET settings. */
export const settingsAnswer = v.object({
  pathfinding_service_address: described(v.null(), 'Always null: the node finds its routes itself'),
  chain_id: amount,
})
/** Answer of GET contracts. */
export const contractsAnswer = v.object({
  contracts_version: v.string(),
  token_network_registry_address: address,
  secret_registry_address: address,
  token_networks: v.array(v.object({
    token_address: address,
    token_network_address: address,
    settle_timeout: described(amount, 'Seconds in which a closing can be answered'),
  })),
})

/** A channel. */
export const channelAnswer = v.object({
  channel_identifier: described(amount, 'channel_id as a number'),
  channel_id: hash,
  network_state: described(v.picklist(['reachable', 'unreachable']), 'Whether the partner is linked and agrees on the channel'),
  token_network_address: address,
  token_address: address,
  partner_address: address,
  state: v.picklist(['opened', 'closed', 'settled']),
  settle_timeout: described(amount, 'Seconds'),
  settle_at: described(v.nullable(time), 'When a closed channel can be settled'),
  balance: described(amount, 'What this node can send now'),
  total_deposit: amount,
  total_withdraw: amount,
  locked_amount: amount,
  partner_balance: described(amount, 'What the partner can send now'),
  partner_total_deposit: amount,
  partner_total_withdraw: amount,
  partner_locked_amount: amount,
})
/** Several channels. */
export const channelsAnswer = v.array(channelAnswer)

/** Answer of POST payments. */
export const paymentAnswer = v.object({
  initiator_address: address,
  registry_address: address,
  token_network_address: address,
  token_address: address,
  target_address: address,
  amount: described(amount, 'What arrives'),
  fee: described(amount, 'What mediators keep on top'),
  identifier: described(amount, 'payment_id as a number'),
  payment_id: hash,
  secret_hash: described(v.nullable(hash), 'Null for a direct payment'),
})
const paymentEventFields = {
  amount,
  identifier: amount,
  payment_id: hash,
  token_address: address,
  token_network_address: address,
  log_time: time,
}
/** A payment that is over, as GET payments lists it. */
export const paymentEventAnswer = v.variant('event', [
  v.object({ event: v.literal('EventPaymentSentSuccess'), target: address, fee: amount, ...paymentEventFields }),
  v.object({ event: v.literal('EventPaymentReceivedSuccess'), initiator: address, ...paymentEventFields }),
  v.object({ event: v.literal('EventPaymentSentFailed'), target: address, reason: v.string(), ...paymentEventFields }),
])
/** Several of them. */
export const paymentEventsAnswer = v.array(paymentEventAnswer)

/** A payment under way. */
export const pendingTransferAnswer = v.object({
  role: v.literal('initiator'),
  initiator: address,
  target: address,
  locked_amount: described(amount, 'Amount and fees together'),
  transferred_amount: amount,
  payment_identifier: amount,
  payment_id: hash,
  token_address: address,
  token_network_address: address,
})
/** Several of them. */
export const pendingTransfersAnswer = v.array(pendingTransferAnswer)

/** Answer of GET tokens. */
export const tokensAnswer = v.array(address)
/** Answer of GET tokens/{token}: the token network. */
export const tokenNetworkAnswer = address
/** Answer of GET tokens/{token}/partners. */
export const partnersAnswer = v.array(v.object({ partner_address: address, channel: described(v.string(), 'Path of the channel') }))
/** Answer of GET connections, by token. */
export const connectionsAnswer = v.record(v.string(), v.object({
  funds: described(amount, 'Always 0: nothing is set aside for channels that open by themselves'),
  sum_deposits: amount,
  channels: described(amount, 'How many are open'),
}))
/** Answer of GET notifications. */
export const notificationsAnswer = v.array(v.object({
  id: v.string(),
  summary: v.string(),
  body: v.string(),
  urgency: v.picklist(['low', 'normal', 'critical']),
}))
/** Answer of POST shutdown. */
export const shutdownAnswer = v.object({ status: v.literal('shutdown') })

/** What the events carry, by name: the node's own, in snake case. */
export const eventSchemas = {
  opened: v.object({ channel_id: hash, token_network: address, partner: address }),
  deposited: v.object({ channel_id: hash, participant: address, total_deposit: amount }),
  withdrawn: v.object({ channel_id: hash, participant: address, total_withdraw: amount }),
  closed: v.object({ channel_id: hash, closer: address, settle_at: described(v.number(), 'Unix seconds') }),
  settled: v.object({ channel_id: hash, paid: amount, cooperative: v.boolean() }),
  received: v.object({ payment_id: hash, token_network: address, from: address, amount }),
  streamed: v.object({ channel_id: hash, from: address, total: amount }),
  sent: v.object({ payment_id: hash, token_network: address, to: address, amount, fee: amount }),
  failed: v.object({ payment_id: hash, code: v.string(), reason: v.string() }),
  mediated: v.object({ payment_id: hash, from: address, to: address, amount, fee: amount }),
  balance: v.object({ channel_id: hash, capacity: amount, partner_capacity: amount }),
  peer: v.object({ account: address, linked: v.boolean() }),
  recovered: v.object({ channel_id: hash, from_nonce: v.number(), to_nonce: v.number() }),
  misbehaved: v.object({ channel_id: v.optional(hash), account: address, code: v.string(), reason: v.string() }),
  appointed: v.object({
    channel_id: hash,
    tower: address,
    counter: v.number(),
    valid_until: described(v.number(), 'Unix seconds'),
    promised: described(v.boolean(), 'kept until then; else while nobody with more at stake wants the place'),
  }),
  towerFailed: v.object({ channel_id: hash, tower: address, code: v.string(), reason: v.string() }),
  clockWrong: v.object({ ahead: described(v.number(), 'Seconds; below zero if it is behind') }),
  stopped: v.object({ reason: v.string() }),
} satisfies Record<keyof ChannelEvents, v.GenericSchema>
