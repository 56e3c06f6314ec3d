/**
 * Every path of the HTTP service: what it takes, what it answers, what it does.
 * @module
 */
import { getAddress } from 'ethers'
import * as v from 'valibot'
import { randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { refusal, type Refusal } from '../../core/http/problem.ts'
import type { Route, RouteInput, Schema } from '../../core/http/route.ts'
import type { ChannelInfo, ChannelNode } from '../channelNode.ts'
import type { Payment } from '../node/payment.ts'
import { keyedPaymentId, toIdentifier, toPaymentId } from './paymentIdentifier.ts'
import {
  addressAnswer,
  addressIn,
  channelAnswer,
  channelsAnswer,
  connectionsAnswer,
  contractsAnswer,
  healthAnswer,
  notificationsAnswer,
  openBody,
  pageQuery,
  partnersAnswer,
  patchBody,
  payBody,
  paymentAnswer,
  paymentEventsAnswer,
  pendingTransfersAnswer,
  settingsAnswer,
  shutdownAnswer,
  statusAnswer,
  tokenNetworkAnswer,
  tokensAnswer,
  versionAnswer,
  type paymentEventAnswer,
} from './schemas.ts'

/** Version of this API's implementation: the package's. */
export const VERSION = '0.1.0'
/** Before all paths but /health. */
const BASE = '/api/v1'

/** What the routes work on. */
export interface RouteContext {
  readonly node: ChannelNode
  readonly status: () => v.InferOutput<typeof statusAnswer>
  readonly notifications: () => v.InferOutput<typeof notificationsAnswer>
  readonly openapi: () => object
  /** A stream of events; undefined when there are too many. */
  readonly stream: () => ReadableStream<Uint8Array> | undefined
  readonly shutdown: () => void
  /** Whether an idempotency key was used for something else before. */
  readonly keyIsTaken: (key: string, fingerprint: string) => boolean
}

/** A route that works on a node. */
export type ChannelRoute = Omit<Route, 'access' | 'handle'> & {
  /** Only /health is open to strangers. */
  readonly access?: 'public'
  handle(context: RouteContext, input: RouteInput<unknown, unknown, unknown, unknown>): unknown
}

type Awaitable<T> = T | Promise<T>
type Output<S> = S extends Schema ? v.InferOutput<S> : undefined
/** Addresses of the path, in lower case. */
type Params = Readonly<Record<string, Hex>>

/** Describes a route. The chain is behind whatever takes a body. */
function route<
  A extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined
>(
  { handle, ...about }: Omit<ChannelRoute, 'handle' | 'answer' | 'query' | 'body'> & {
    readonly answer?: A
    readonly query?: Q
    readonly body?: B
    readonly handle: (
      context: RouteContext,
      input: RouteInput<Params, Output<Q>, Output<B>, true>,
    ) => Awaitable<(A extends Schema ? v.InferInput<A> : never) | Response | Refusal>
  },
): ChannelRoute {
  const names = [...about.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name!, addressIn] as const)
  return {
    ...about,
    params: v.object(Object.fromEntries(names)),
    problems: [...(about.body ? [502] : []), ...(about.problems ?? [])],
    handle: (context, input) => handle(context, input as RouteInput<Params, Output<Q>, Output<B>, true>),
  }
}

/** Describes what Raiden offers and this service doesn't: an answer that says what to use instead. */
function unoffered(method: Route['method'], path: string, id: string, summary: string, instead: string): ChannelRoute {
  return route({
    method, path, id, summary, description: `Not offered: ${instead}.`, status: 405, problems: [405],
    handle: () => refusal('NOT_OFFERED', `not offered: ${instead}`, { allow: '' }),
  })
}

const token = `${BASE}/channels/{token}`

/** All of them. */
export const routes: readonly ChannelRoute[] = [
  route({
    method: 'get', path: '/health', id: 'health', summary: 'Says whether the service is up; needs no token', access: 'public', immediate: true,
    answer: healthAnswer, answers: { 503: healthAnswer },
    handle: ({ status }) => {
      const health = { status: status().status }
      return health.status === 'unavailable' ? Response.json(health, { status: 503 }) : health
    },
  }),
  route({
    method: 'get', path: `${BASE}/address`, id: 'getAddress', summary: 'The account of the node', answer: addressAnswer,
    handle: ({ node }) => ({ our_address: getAddress(node.account) }),
  }),
  route({
    method: 'get', path: `${BASE}/version`, id: 'getVersion', summary: 'The version of the node', answer: versionAnswer,
    handle: () => ({ version: VERSION }),
  }),
  route({
    method: 'get', path: `${BASE}/status`, id: 'getStatus', summary: 'Whether the node has caught up with the chain', answer: statusAnswer,
    handle: ({ status }) => status(),
  }),
  route({
    method: 'get', path: `${BASE}/settings`, id: 'getSettings', summary: 'Settings of the node', answer: settingsAnswer,
    handle: ({ node }) => ({ pathfinding_service_address: null, chain_id: node.chainId.toString() }),
  }),
  route({
    method: 'get', path: `${BASE}/contracts`, id: 'getContracts', summary: 'The contracts that the node works with', answer: contractsAnswer,
    handle: ({ node: { networks } }) => ({
      contracts_version: VERSION,
      token_network_registry_address: getAddress(networks[0]!.registry),
      secret_registry_address: getAddress(networks[0]!.secretRegistry),
      token_networks: networks.map(({ address, token, challengePeriod }) => ({
        token_address: getAddress(token), token_network_address: getAddress(address), settle_timeout: String(challengePeriod),
      })),
    }),
  }),

  route({
    method: 'get', path: `${BASE}/channels`, id: 'getChannels', summary: 'All channels that are not settled', answer: channelsAnswer,
    handle: ({ node }) => unsettled(node).map((channel) => channelOut(node, channel)),
  }),
  route({
    method: 'put', path: `${BASE}/channels`, id: 'openChannel', summary: 'Opens a channel, with a deposit if wanted',
    description: 'Waits until the chain has confirmed it and, for a moment, until the partner has seen the deposit.',
    body: openBody, status: 201, answer: channelAnswer, problems: [402, 404, 409],
    async handle({ node }, { body }) {
      const network = networkOf(node, body.token_address)
      const partner = body.partner_address
      if (partner === node.account) throw new SluiceError('BAD_ARGUMENT', 'partner_address must be another account', { details: { name: 'partner_address' } })
      if (body.settle_timeout !== undefined && body.settle_timeout !== BigInt(network.challengePeriod)) {
        throw new SluiceError('BAD_ARGUMENT', `settle_timeout must be ${network.challengePeriod} in this token network`, {
          details: { name: 'settle_timeout', expected: network.challengePeriod },
        })
      }
      return channelOut(node, await node.open({ partner, deposit: body.total_deposit, tokenNetwork: network.address }))
    },
  }),
  route({
    method: 'get', path: token, id: 'getChannelsOfToken', summary: 'Channels of a token that are not settled', answer: channelsAnswer, problems: [404],
    handle: ({ node }, { params }) => {
      const { address } = networkOf(node, params['token']!)
      return unsettled(node).filter(({ tokenNetwork }) => tokenNetwork === address).map((channel) => channelOut(node, channel))
    },
  }),
  route({
    method: 'get', path: `${token}/{partner}`, id: 'getChannel', summary: 'The channel with a partner, the last one if all are settled',
    answer: channelAnswer, problems: [404],
    handle: ({ node }, { params }) => channelOut(node, channelOf(node, params['token']!, params['partner']!)),
  }),
  route({
    method: 'patch', path: `${token}/{partner}`, id: 'changeChannel', summary: 'Deposits, withdraws, closes or settles',
    description: [
      'Exactly one field. `total_deposit` and `total_withdraw` are sums over the life of the channel, so that a repeated request does no harm.',
      '`"state": "closed"` ends the channel together with the partner if it is there and agrees, which settles it at once;',
      'else it is closed alone and can be settled after `settle_timeout`.',
    ].join(' '),
    body: patchBody, answer: channelAnswer, problems: [402, 404, 409],
    async handle({ node }, { params, body }) {
      const channel = channelOf(node, params['token']!, params['partner']!)
      const { id } = channel
      if (body.state === 'settled') return channelOut(node, await node.settle(id))
      if (channel.phase !== 'open') throw new SluiceError('CHANNEL_NOT_OPEN', `channel ${id} is ${channel.phase}`, { details: { channelId: id } })
      if (body.state === 'closed') return channelOut(node, await node.close(id))
      if (body.total_deposit !== undefined) {
        assertGrows('TOTAL_DEPOSIT_OUT_OF_RANGE', 'total_deposit', channel.totalDeposit, body.total_deposit)
        return channelOut(node, await node.deposit(id, body.total_deposit))
      }
      assertGrows('TOTAL_WITHDRAW_OUT_OF_RANGE', 'total_withdraw', channel.totalWithdraw, body.total_withdraw!)
      return channelOut(node, await node.withdraw(id, body.total_withdraw!))
    },
  }),

  ...(['', '/{token}', '/{token}/{target}'] as const).map((path) =>
    route({
      method: 'get', path: `${BASE}/payments${path}`, id: `getPayments${path === '' ? '' : path === '/{token}' ? 'OfToken' : 'OfTarget'}`,
      summary: `Payments that are over${path === '' ? '' : path === '/{token}' ? ', of a token' : ', of a token, to or from an account'}`,
      description: 'Outgoing ones first, by identifier.',
      query: pageQuery, answer: paymentEventsAnswer, problems: path === '' ? [] : [404],
      async handle({ node }, { params, query }) {
        const network = params['token'] && networkOf(node, params['token']).address
        const out: v.InferInput<typeof paymentEventAnswer>[] = []
        let skip = query.offset
        if (query.limit === 0) return out
        for await (const payment of node.payments()) {
          if (network && payment.tokenNetwork !== network) continue
          if (params['target'] && payment.peer !== params['target']) continue
          const event = paymentEvent(node, payment)
          if (!event || skip-- > 0) continue
          out.push(event)
          if (out.length === query.limit) break
        }
        return out
      },
    })),
  route({
    method: 'post', path: `${BASE}/payments/{token}/{target}`, id: 'pay', summary: 'Pays, and waits until the money is the target\'s for good',
    description: [
      'A payment is named by `identifier`, or by the `Idempotency-Key` of the request, and is paid once under its name however often it is asked for:',
      'a repeated request gets the result of the first, a failed payment stays failed. The same name for another payment is refused.',
    ].join(' '),
    body: payBody, answer: paymentAnswer, problems: [402, 404, 409, 422], keyed: { meaning: 'Names the payment, instead of an identifier' },
    async handle({ node, keyIsTaken }, { params, body, request, marks }) {
      const network = networkOf(node, params['token']!)
      const to = params['target']!
      const key = request.headers.get('idempotency-key')
      if (key !== null) {
        if (!/^[\x21-\x7e]{1,255}$/.test(key)) throw badKey('must have 1 to 255 visible ASCII characters')
        if (body.identifier !== undefined) throw badKey('must not be given with an identifier, which names the payment already')
        if (keyIsTaken(key, [network.address, to, body.amount, body.max_fee].join())) {
          return refusal('IDEMPOTENCY_KEY_REUSED', 'this Idempotency-Key was used for another payment')
        }
      }
      const { identifier, amount, max_fee: maxFee } = body
      const id = identifier !== undefined ? toPaymentId(identifier) : key !== null ? keyedPaymentId(key) : toHex(randomBytes(32))
      Object.assign(marks, { identifier: toIdentifier(id), paymentId: id })
      return paymentOut(node, await node.pay({ to, amount, tokenNetwork: network.address, id, maxFee }))
    },
  }),
  ...(['', '/{token}', '/{token}/{partner}'] as const).map((path) =>
    route({
      method: 'get', path: `${BASE}/pending_transfers${path}`,
      id: `getPendingTransfers${path === '' ? '' : path === '/{token}' ? 'OfToken' : 'OfPartner'}`,
      summary: `Payments of this node that are under way${path === '' ? '' : path === '/{token}' ? ', of a token' : ', of a token, to an account'}`,
      answer: pendingTransfersAnswer, problems: path === '' ? [] : [404],
      async handle({ node }, { params }) {
        const network = params['token'] && networkOf(node, params['token']).address
        const out: v.InferInput<typeof pendingTransfersAnswer> = []
        for await (const payment of node.payments('out')) {
          // What is under way comes first: the rest is history.
          if (payment.state === 'done' || payment.state === 'failed') break
          if (network && payment.tokenNetwork !== network) continue
          if (params['partner'] && payment.peer !== params['partner']) continue
          out.push({
            role: 'initiator', initiator: getAddress(node.account), target: getAddress(payment.peer),
            locked_amount: (payment.amount + payment.fee).toString(), transferred_amount: '0',
            payment_identifier: toIdentifier(payment.id), payment_id: payment.id, ...tokenOf(node, payment.tokenNetwork),
          })
        }
        return out
      },
    })),

  route({
    method: 'get', path: `${BASE}/tokens`, id: 'getTokens', summary: 'Tokens of the node; the zero address is ETH', answer: tokensAnswer,
    handle: ({ node }) => node.networks.map(({ token }) => getAddress(token)),
  }),
  route({
    method: 'get', path: `${BASE}/tokens/{token}`, id: 'getTokenNetwork', summary: 'The token network of a token', answer: tokenNetworkAnswer, problems: [404],
    handle: ({ node }, { params }) => getAddress(networkOf(node, params['token']!).address),
  }),
  route({
    method: 'get', path: `${BASE}/tokens/{token}/partners`, id: 'getPartners', summary: 'Partners in channels of a token that are not settled',
    answer: partnersAnswer, problems: [404],
    handle: ({ node }, { params }) => {
      const network = networkOf(node, params['token']!)
      return unsettled(node).filter(({ tokenNetwork }) => tokenNetwork === network.address).map(({ partner }) => ({
        partner_address: getAddress(partner), channel: `${BASE}/channels/${getAddress(network.token)}/${getAddress(partner)}`,
      }))
    },
  }),
  route({
    method: 'get', path: `${BASE}/connections`, id: 'getConnections', summary: 'Open channels and deposits by token', answer: connectionsAnswer,
    handle: ({ node }) => Object.fromEntries(node.networks.flatMap(({ token, address }) => {
      const open = node.channels().filter(({ tokenNetwork, phase }) => tokenNetwork === address && phase === 'open')
      const deposits = open.reduce((sum, { totalDeposit }) => sum + totalDeposit, 0n)
      return open.length === 0 ? [] : [[getAddress(token), { funds: '0', sum_deposits: deposits.toString(), channels: String(open.length) }]]
    })),
  }),
  unoffered('put', `${BASE}/connections/{token}`, 'connect', 'Opens channels by itself', `open the channels you want with PUT ${BASE}/channels`),
  unoffered('delete', `${BASE}/connections/{token}`, 'leave', 'Closes all channels of a token',
    `close each channel with PATCH ${BASE}/channels/{token}/{partner} and "state": "closed"`),
  route({
    method: 'get', path: `${BASE}/notifications`, id: 'getNotifications', summary: 'What an operator should know, the last 100, newest first',
    answer: notificationsAnswer,
    handle: ({ notifications }) => notifications(),
  }),
  route({
    method: 'get', path: `${BASE}/events`, id: 'getEvents', summary: 'Events as they happen, as server-sent events',
    description: [
      'The field `event` is the name, `data` is JSON. A comment comes every 15 seconds of silence. A client that is more than 1000 events behind gets',
      '`overflow` with how many it missed, and then the end. Events are not repeated: what happened before is in the other answers.',
    ].join(' '),
    media: 'text/event-stream', problems: [503],
    handle: ({ stream }, { request }) => {
      const headers = { 'content-type': 'text/event-stream' }
      if (request.method === 'HEAD') return new Response(null, { headers })
      const body = stream()
      if (!body) throw new SluiceError('OVERLOADED', 'there are too many streams of events')
      return new Response(body, { headers })
    },
  }),
  route({
    method: 'post', path: `${BASE}/shutdown`, id: 'shutdown', summary: 'Stops the node after this answer', answer: shutdownAnswer,
    handle: ({ shutdown }) => {
      shutdown()
      return { status: 'shutdown' as const }
    },
  }),
  route({
    method: 'get', path: `${BASE}/openapi.json`, id: 'getOpenApi', summary: 'This description, as OpenAPI 3.1', media: 'application/json',
    handle: ({ openapi }) => Response.json(openapi()),
  }),
]

const badKey = (expected: string): SluiceError =>
  new SluiceError('BAD_ARGUMENT', `Idempotency-Key ${expected}`, { details: { name: 'Idempotency-Key' } })

function assertGrows(code: 'TOTAL_DEPOSIT_OUT_OF_RANGE' | 'TOTAL_WITHDRAW_OUT_OF_RANGE', name: string, before: bigint, now: bigint): void {
  if (now <= before) throw new SluiceError(code, `${name} must be above ${before}`, { details: { name, before } })
}

type Network = ChannelNode['networks'][number]

function networkOf(node: ChannelNode, token: Hex): Network {
  const network = node.networks.find((each) => each.token === token)
  if (!network) throw new SluiceError('NOT_DEPLOYED', `this node has no token network of token ${token}`, { details: { token } })
  return network
}

const unsettled = (node: ChannelNode): readonly ChannelInfo[] => node.channels().filter(({ phase }) => phase !== 'settled')

/** The channel of a pair that is not settled, or one that is. */
function find(node: ChannelNode, network: Hex, partner: Hex): ChannelInfo | undefined {
  const all = node.channels().filter((channel) => channel.tokenNetwork === network && channel.partner === partner)
  return all.find(({ phase }) => phase !== 'settled') ?? all.at(-1)
}

function channelOf(node: ChannelNode, token: Hex, partner: Hex): ChannelInfo {
  const channel = find(node, networkOf(node, token).address, partner)
  if (!channel) throw new SluiceError('CHANNEL_NOT_FOUND', `there is no channel with ${partner}`, { details: { token, partner } })
  return channel
}

const states = { open: 'opened', closed: 'closed', settled: 'settled' } as const

function tokenOf(node: ChannelNode, tokenNetwork: Hex) {
  const { address, token } = node.networks.find((each) => each.address === tokenNetwork)!
  return { token_network_address: getAddress(address), token_address: getAddress(token) }
}

function channelOut(node: ChannelNode, channel: ChannelInfo): v.InferInput<typeof channelAnswer> {
  const network = node.networks.find(({ address }) => address === channel.tokenNetwork)!
  return {
    channel_identifier: toIdentifier(channel.id),
    channel_id: channel.id,
    network_state: channel.online ? 'reachable' : 'unreachable',
    ...tokenOf(node, channel.tokenNetwork),
    partner_address: getAddress(channel.partner),
    state: states[channel.phase],
    settle_timeout: String(network.challengePeriod),
    settle_at: channel.settleAt === 0 ? null : new Date(channel.settleAt * 1000).toISOString(),
    balance: channel.capacity.toString(),
    total_deposit: channel.totalDeposit.toString(),
    total_withdraw: channel.totalWithdraw.toString(),
    locked_amount: channel.locked.toString(),
    partner_balance: channel.partnerCapacity.toString(),
    partner_total_deposit: channel.partnerTotalDeposit.toString(),
    partner_total_withdraw: channel.partnerTotalWithdraw.toString(),
    partner_locked_amount: channel.partnerLocked.toString(),
  }
}

function paymentOut(node: ChannelNode, payment: Payment): v.InferInput<typeof paymentAnswer> {
  return {
    initiator_address: getAddress(node.account),
    registry_address: getAddress(node.networks[0]!.registry),
    ...tokenOf(node, payment.tokenNetwork),
    target_address: getAddress(payment.peer),
    amount: payment.amount.toString(),
    fee: payment.fee.toString(),
    identifier: toIdentifier(payment.id),
    payment_id: payment.id,
    secret_hash: payment.secrethash ?? null,
  }
}

/** A payment that is over. */
function paymentEvent(node: ChannelNode, payment: Payment): v.InferInput<typeof paymentEventAnswer> | undefined {
  if (!node.networks.some(({ address }) => address === payment.tokenNetwork)) return undefined
  const peer = getAddress(payment.peer)
  const rest = {
    amount: payment.amount.toString(), identifier: toIdentifier(payment.id), payment_id: payment.id,
    log_time: new Date(payment.at).toISOString(), ...tokenOf(node, payment.tokenNetwork),
  }
  if (payment.state === 'done') {
    return payment.direction === 'in'
      ? { event: 'EventPaymentReceivedSuccess', initiator: peer, ...rest }
      : { event: 'EventPaymentSentSuccess', target: peer, fee: payment.fee.toString(), ...rest }
  }
  return payment.state === 'failed' ? { event: 'EventPaymentSentFailed', target: peer, reason: payment.reason ?? '', ...rest } : undefined
}
