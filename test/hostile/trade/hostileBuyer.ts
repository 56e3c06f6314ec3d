/**
 * A hostile buyer against an honest seller: two accounts that work together, say what they like over links of their own, put on
 * chain what they like, and take data as long as any comes.
 *
 * What the seller may lose to an order is its unpaid window, and nothing else: all it delivered beyond that must be paid in the
 * end, and all that it has been told is paid must have come.
 * @module
 */
import type { ChannelNode } from '../../../src/channel/channelNode.ts'
import { dataTradeInterface } from '../../../src/contracts/dataTrade.ts'
import type { Order } from '../../../src/contracts/order.ts'
import { randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { generateKey, type Key } from '../../../src/core/crypto/key.ts'
import { alipayPayments, channelPayments, CNY, outTradeNo } from '../../../src/payments/index.ts'
import { billOf } from '../../../src/payments/bill.ts'
import { paymentPrefix } from '../../../src/payments/channel/paymentId.ts'
import { decodeFrame } from '../../../src/protocol/frame.ts'
import { keyIdentity } from '../../../src/protocol/identity.ts'
import { memoryTransportPair } from '../../../src/protocol/memoryTransport.ts'
import { chunkCount, ETH, findItem, priceOf, rangeOf, type Item } from '../../../src/protocol/menu.ts'
import { decodeMessage, encodeMessage, MAX_TEXT_TO_BUYER, signedBytes } from '../../../src/protocol/message.ts'
import { orderToWire, payFor, saltFor } from '../../../src/protocol/order.ts'
import type { Transport } from '../../../src/protocol/transport.ts'
import {
  PROTOCOL_VERSION,
  type MessageType,
  type Payload,
  type PaymentKind,
  type PaymentMode,
} from '../../../src/protocol/wire.ts'
import { createSeller, type Seller } from '../../../src/seller/index.ts'
import { CHUNKS, FREE, GRAIN, GRACE, WINDOW, type Name } from './setup.ts'
import { BLOCK_TIME, codeOf, short, type Loss, type Machine, type World } from './world.ts'

type Thief = Exclude<Name, 'honest'>

/** An order of a hostile buyer. */
interface HostileOrder {
  id: Hex
  order: Order
  readonly item: Item
  readonly kind: PaymentKind
  readonly mode: PaymentMode
  readonly by: Thief
  readonly key: Key
  readonly wire: Omit<Payload<'order'>, 'session' | 'stream'>
  verification: string
  /** Chunks that came, by index and content. */
  readonly got: Map<string, number>
  /** Where the last chunk in a row ended. */
  end: number
  /** Fen that Alipay has for it. */
  fen: bigint
  /** The highest count that was signed. */
  acked: number
}

/** A link of a hostile buyer. */
interface Visit {
  readonly by: Thief
  readonly key: Key
  readonly transport: Transport
  session: Hex | undefined
  open: boolean
  streams: number
  /** Which order was asked for on a stream. */
  readonly orders: Map<number, HostileOrder>
  /** All that was said. */
  readonly said: string[]
}

/** Runs against an honest seller. */
export async function runHostileBuyer(world: World): Promise<readonly Loss[]> {
  const { setup, draws, clock, chain } = world
  const { dataTrade, digests, domain, tokenNetwork, wallets } = setup
  const kinds = kindsOf(world)
  const withChannel = kinds.includes('channel')
  const entries = new Map<string, Uint8Array>()
  const nodeEntries = new Map<string, Uint8Array>()
  const confirmations = draws.once(2) ? 2 : 1
  const limits = draws.once(2) ? { orders: 2 } : {}
  const accountOf = (name: Name): Hex => wallets[name].address.toLowerCase() as Hex

  let machine: Machine
  let seller: Seller
  let sellerNode: { node: ChannelNode; store: { kill(): void; close(): Promise<void> } } | undefined
  let running = false
  /** Most that was told as paid, by order. */
  const told = new Map<Hex, bigint>()
  const orders: HostileOrder[] = []
  const visits: Visit[] = []

  // ------------------------------------------------------------------------------------------------ the honest seller

  const start = async (): Promise<void> => {
    machine = world.machine('honest', entries)
    const { store } = machine
    if (withChannel)
      sellerNode = await world.node(machine, nodeEntries, 'ws://honest', { account: accountOf('eve'), endpoint: 'ws://eve' })
    const tokenNetworks = { [ETH]: tokenNetwork }
    const channel = sellerNode && [channelPayments({ channel: sellerNode.node, tokenNetworks, digests, store, clock })]
    seller = await world.driven(
      createSeller({
        signer: machine.wallet,
        store,
        dataTrade,
        items: setup.items(),
        granularity: GRAIN,
        window: WINDOW,
        payments: [alipayPayments({ gateway: world.gateway, digests, store }), ...(channel ?? [])],
        confirmations,
        limits,
        clock,
        log: world.logger('seller'),
      }),
    )
    seller.events.on('paid', ({ orderId, amount }) => {
      if (amount > (told.get(orderId) ?? 0n)) told.set(orderId, amount)
    })
    running = true
  }
  const stop = async (how: 'stop' | 'crash'): Promise<void> => {
    running = false
    if (how === 'crash') {
      machine.die()
      for (const visit of visits) visit.transport.close(1006)
      if (sellerNode) {
        sellerNode.store.kill()
        world.network.kill('ws://honest')
      }
    }
    await world.driven(seller.close(), { step: 1000, blocks: how === 'stop' })
    if (sellerNode) {
      await world.driven(sellerNode.node.stop().then(() => world.network.leave('ws://honest')), { step: 1000 })
      await sellerNode.store.close()
    }
    await machine.store.close()
    for (const visit of visits) visit.open = false
  }

  // ------------------------------------------------------------------------------------------------- the hostile buyer

  const eveMachine = world.machine('eve', new Map())
  const eve = withChannel
    ? await world.node(eveMachine, new Map(), 'ws://eve', { account: accountOf('honest'), endpoint: 'ws://honest' })
    : undefined
  const keys: Record<Thief, Key> = { eve: generateKey(), mallory: generateKey() }

  const say = async <T extends MessageType>(visit: Visit, type: T, payload: Payload<T>, verification = ''): Promise<void> => {
    const signature = await keyIdentity(visit.key, domain).signBytes(signedBytes(type, payload, verification))
    const text = encodeMessage({ type, payload, signature, verification })
    visit.said.push(text)
    visit.transport.send(text)
  }

  const connect = async (by: Thief): Promise<Visit | undefined> => {
    if (!running) return undefined
    const [transport, theirs] = memoryTransportPair({ names: [`memory:${by}`, 'memory:seller'] })
    const visit: Visit = { by, key: keys[by], transport, session: undefined, open: true, streams: 0, orders: new Map(), said: [] }
    visits.push(visit)
    transport.receive({
      packet: (packet) => take(visit, packet),
      closed: () => (visit.open = false),
    })
    seller.serve(theirs)
    await say(visit, 'hello', {
      version: PROTOCOL_VERSION,
      chain_id: domain.chainId.toString(),
      contract: dataTrade,
      public_key_of_the_buyer: toHex(visit.key.publicKey),
      nonce: toHex(randomBytes(32)),
    })
    await world.flow()
    return visit
  }

  const keep = (order: HostileOrder | undefined, index: number, body: Uint8Array): void => {
    if (!order) return
    order.got.set(`${index}/${toHex(engine().sha256(body))}`, body.length)
    const first = order.item.live ? 0 : order.wire.first_chunk
    order.end = Math.max(order.end, (index - first) * GRAIN + body.length)
  }
  const take = (visit: Visit, packet: string | Uint8Array): void => {
    if (packet instanceof Uint8Array) {
      const frame = decodeFrame(packet)
      return keep(visit.orders.get(frame.stream), frame.index, frame.body.slice())
    }
    const message = decodeMessage(packet, MAX_TEXT_TO_BUYER)
    if (message.type === 'hello') visit.session = message.payload.nonce as Hex
    else if (message.type === 'data') {
      const { order_ID, index, data } = message.payload
      keep(orders.find(({ id }) => id === order_ID), index, Uint8Array.from(Buffer.from(data, 'base64')))
    } else if (message.type === 'exit' && message.payload.reason)
      world.note(`the seller says ${message.payload.reason.code} of ${short(message.payload.order_ID as Hex)}`)
  }

  /** @param plain - whether it is as the menu says, for a few chunks, and paid in full. */
  const create = async (plain = false): Promise<HostileOrder> => {
    const by = draws.pick(['eve', 'eve', 'mallory'] as const)
    const kind = draws.pick(plain ? kinds.filter((each) => each !== 'sample') : kinds)
    const ids = soldBy[kind]
    const item = findItem(seller.menu, draws.pick(plain ? ids.filter((id) => id !== 'live') : ids))
    const mode: PaymentMode = world.theme === 'buyer/onchain' || draws.once(6) ? 'onchain' : 'voucher'
    const first = item.live ? 0 : draws.between(0, kind === 'sample' ? FREE - 1 : CHUNKS - 2)
    const most = (kind === 'sample' ? FREE : CHUNKS) - first
    const count = draws.between(1, plain ? Math.min(3, most) : most)
    const range = rangeOf(item, item.live ? { bytes: [0, count * GRAIN] } : { chunks: { first, count } })
    const { token, price: full } = billOf(item, kind)
    const price = full === undefined ? 0n : priceOf(item, full, range.bytes)
    const nonce = toHex(randomBytes(16))
    const scope = { nonce, data_ID: item.id, first_chunk: range.first, chunk_count: range.count, payment: kind, mode }
    let order: Order = {
      buyer: wallets[by].address,
      seller: seller.address,
      token,
      ackSigner: keys[by].address,
      price,
      totalData: range.bytes,
      chunks: chunkCount(item),
      dataRoot: item.root,
      deadline: world.now() + draws.pick([650, 900, 1500]),
      salt: saltFor(scope, item),
    }
    const wrong = !plain && draws.once(5) ? draws.pick(wrongs) : undefined
    if (wrong) order = { ...order, ...wrong.change(order, world) }
    const id = toHex(digests.Order(order))
    const made: HostileOrder = {
      id,
      order,
      item,
      kind,
      mode,
      by,
      key: keys[by],
      wire: {
        order_hash: id,
        ...scope,
        terms: orderToWire(order),
        form: draws.once(6) ? 'json' : 'binary',
        claims: draws.once(8),
      },
      verification: '',
      got: new Map(),
      end: 0,
      fen: 0n,
      acked: 0,
    }
    const how = `${kind}${mode === 'onchain' ? ' on chain' : ''}`
    world.note(`${by} orders ${count} of ${item.id} by ${how} as ${short(id)}${wrong ? `, ${wrong.name}` : ''}`)
    if (kind === 'token') await fund(made, plain)
    if (kind === 'alipay') payAlipay(made, plain)
    orders.push(made)
    return made
  }

  const fund = async (made: HostileOrder, plain: boolean): Promise<void> => {
    const { order, by } = made
    const deposit = !plain && draws.once(4) ? (order.price * BigInt(draws.between(1, 4))) / 4n : order.price
    const data = dataTradeInterface.encodeFunctionData('create', [order, deposit])
    const hash = await world.transact(by, dataTrade, data, order.token === ETH ? deposit : 0n)
    made.verification = hash ?? ''
    if (!plain && draws.once(5)) return // opened before it is on chain
    for (let i = 0; i < confirmations; i++) await world.pass(BLOCK_TIME)
  }

  const payAlipay = (made: HostileOrder, plain: boolean): void => {
    const others = orders.filter(({ kind, verification }) => kind === 'alipay' && verification !== '')
    if (!plain && others.length > 0 && draws.once(4)) {
      made.verification = draws.pick(others).verification // of another order
      return
    }
    const fen = !plain && draws.once(3) ? made.order.price / 2n : made.order.price
    if (fen < 1n) return
    const status = !plain && draws.once(6) ? 'WAIT_BUYER_PAY' : 'TRADE_SUCCESS'
    made.verification = setup.alipay.pay(outTradeNo(made.id), fen, status)
    if (status === 'TRADE_SUCCESS') made.fen = fen
  }

  const visitOf = async (by: Thief): Promise<Visit | undefined> =>
    draws.once(6) ? connect(by) : (visits.findLast((visit) => visit.open && visit.by === by && visit.session) ?? connect(by))

  const ask = async (made: HostileOrder, changes: Partial<Payload<'order'>> = {}): Promise<void> => {
    const visit = await visitOf(draws.once(12) ? (made.by === 'eve' ? 'mallory' : 'eve') : made.by)
    if (!visit?.session) return
    const stream = visit.streams++
    visit.orders.set(stream, made)
    await say(visit, 'order', { ...made.wire, stream, session: visit.session, ...changes }, made.verification)
  }

  const sign = (made: HostileOrder, transferred: number, key = made.key): Promise<Uint8Array> =>
    keyIdentity(key, domain).signTyped('Ack', { orderId: made.id, transferred })

  const ack = async (made: HostileOrder, transferred: number, key = made.key): Promise<void> => {
    const visit = visits.findLast((each) => each.open && each.by === made.by && [...each.orders.values()].includes(made))
    if (!visit) return
    const signature = await sign(made, transferred, key)
    if (key === made.key) made.acked = Math.max(made.acked, transferred)
    const text = encodeMessage({ type: 'ACK', payload: { order_ID: made.id, transferred }, signature, verification: '' })
    visit.said.push(text)
    visit.transport.send(text)
  }

  const payChannel = async (made: HostileOrder, transferred: number): Promise<void> => {
    const due = payFor(made.order, transferred)
    const sofar = paidByChannel.get(made.id) ?? { amount: 0n, next: 0 }
    const amount = draws.once(6) ? due - sofar.amount - 1n : due - sofar.amount
    if (!eve || amount <= 0n || made.kind !== 'channel') return
    const id = `${paymentPrefix(made.id)}${sofar.next.toString(16).padStart(8, '0')}` as Hex
    paidByChannel.set(made.id, { amount: sofar.amount + amount, next: sofar.next + 1 })
    world.note(`eve pays ${amount} for ${short(made.id)}`)
    const paying = eve.node.pay({ to: accountOf('honest'), amount, id, timeout: 60_000, maxFee: 0n })
    paying.catch((error: unknown) => world.note(`eve: ${codeOf(error)}`))
    await world.flow()
  }
  const paidByChannel = new Map<Hex, { readonly amount: bigint; readonly next: number }>()

  type Call = 'requestClose' | 'settle' | 'updateTransferred' | 'topUp'
  const call = (made: HostileOrder, name: Call, args: readonly unknown[], value = 0n): Promise<unknown> =>
    world.transact(made.by, dataTrade, dataTradeInterface.encodeFunctionData(name as 'settle', args as never), value)

  /** Mostly one of which something came: there is more to be had of it. */
  const any = (): HostileOrder | undefined => {
    if (orders.length === 0) return undefined
    const served = orders.filter(({ got }) => got.size > 0)
    if (served.length > 0 && !draws.once(3)) return draws.pick(served)
    return draws.once(2) ? orders.at(-1)! : draws.pick(orders)
  }
  /** What an honest buyer would acknowledge now. */
  const next = ({ end, order }: HostileOrder): number => Math.min(end, order.totalData)

  const away = async (how: 'stop' | 'crash', blocks: number): Promise<void> => {
    world.note(`the seller ${how === 'stop' ? 'stops' : 'crashes'} for ${blocks} blocks`)
    await stop(how)
    const asked = any()
    if (blocks > 0 && asked?.kind === 'token' && draws.once(2)) await call(asked, 'requestClose', [asked.order])
    for (let i = 0; i < blocks; i++) await world.pass(BLOCK_TIME)
    await start()
  }

  const moves: readonly (readonly [weight: number, name: string, run: (made: HostileOrder) => Promise<void>])[] = [
    [6, 'order', async () => ask(await create())],
    [3, 'ask again', (made) => ask(made)],
    [
      8,
      'ask otherwise',
      async (made) => {
        const change = draws.pick<Partial<Payload<'order'>>>([
          { first_chunk: draws.between(0, CHUNKS - made.wire.chunk_count) },
          { first_chunk: draws.between(0, CHUNKS - made.wire.chunk_count) },
          { first_chunk: draws.between(0, CHUNKS - made.wire.chunk_count) },
          { first_chunk: draws.between(0, CHUNKS - 1), chunk_count: 1 },
          { data_ID: made.wire.data_ID === 'twin' ? 'item' : 'twin' },
          { payment: draws.pick(['sample', 'alipay', 'channel', 'token'] as const) },
          { mode: 'onchain' },
          { mode: 'voucher' },
          { form: 'json' },
          { nonce: toHex(randomBytes(16)) },
        ])
        world.note(`asks for ${short(made.id)} with ${JSON.stringify(change)}`)
        await ask(made, change)
      },
    ],
    [
      2,
      'elsewhere',
      async () => {
        // What the seller may have forgotten of an order, it is asked for again: for other chunks.
        if (kinds.every((kind) => kind === 'sample')) return
        const made = await create(true)
        await ask(made)
        await world.flow()
        if (draws.once(2)) await away('crash', 0)
        else for (let i = 0; i < 3; i++) await ask(await create(true))
        await world.flow()
        const first = (made.wire.first_chunk + made.wire.chunk_count) % (CHUNKS - made.wire.chunk_count)
        world.note(`asks for ${short(made.id)} from chunk ${first}`)
        await ask(made, { first_chunk: first })
      },
    ],
    [
      16,
      'pay',
      async (made) => {
        for (let i = draws.between(1, 6); i > 0; i--) {
          const transferred = next(made)
          if (transferred === 0 || (transferred <= made.acked && made.acked === made.order.totalData)) return
          if (made.kind === 'channel') await payChannel(made, transferred)
          if (made.kind === 'token' && made.mode === 'onchain') {
            await call(made, 'updateTransferred', [made.id, transferred])
            for (let n = 0; n < confirmations; n++) await world.pass(BLOCK_TIME)
          }
          world.note(`pays ${short(made.id)} up to ${transferred}`)
          await ack(made, transferred)
          await world.flow()
        }
      },
    ],
    [
      6,
      'pay wrongly',
      async (made) => {
        const how = draws.between(0, 4)
        const [due, all] = [next(made), made.order.totalData]
        const transferred = draws.pick([due, due, due, due + GRAIN, all, all + GRAIN])
        world.note(`pays ${short(made.id)} wrongly (${how}) up to ${transferred}`)
        if (how === 0) return ack(made, transferred, generateKey())
        if (how === 1) return ack(made, transferred, keys[made.by === 'eve' ? 'mallory' : 'eve'])
        if (how === 2) for (let i = 1; i < 5; i++) await ack(made, Math.min(i * GRAIN, made.order.totalData))
        else await ack(made, transferred)
      },
    ],
    [
      5,
      'go on',
      async (made) => {
        const visit = await visitOf(made.by)
        if (!visit?.session) return
        const { end, acked, order } = made
        const received = draws.pick([end, acked, 0, Math.max(0, end - GRAIN), end + GRAIN, order.totalData])
        const stream = visit.streams++
        visit.orders.set(stream, made)
        world.note(`goes on with ${short(made.id)} at ${received}`)
        await say(visit, 'resume', { order_ID: made.id, received, stream, session: visit.session })
      },
    ],
    [
      2,
      'leave',
      async (made) => {
        const visit = visits.findLast((each) => each.open && each.by === made.by && each.session)
        if (!visit?.session) return
        world.note(`leaves ${short(made.id)}`)
        await say(visit, 'exit', { order_ID: made.id, session: visit.session, rating: null, reason: null })
      },
    ],
    [
      4,
      'cut',
      async () => {
        const visit = visits.findLast(({ open }) => open)
        if (!visit) return
        world.note(`${visit.by} cuts its link`)
        visit.transport.close(1006)
        visit.open = false
      },
    ],
    [
      3,
      'replay',
      async () => {
        const from = visits.filter(({ said }) => said.length > 0)
        const to = visits.findLast(({ open, session }) => open && session)
        if (from.length === 0 || !to) return
        world.note('says something again')
        to.transport.send(draws.pick(draws.pick(from).said))
      },
    ],
    [
      3,
      'close',
      async (made) => {
        if (made.kind !== 'token') return
        world.note(`asks to close ${short(made.id)}`)
        await call(made, 'requestClose', [made.order])
      },
    ],
    [
      3,
      'settle',
      async (made) => {
        if (made.kind !== 'token') return
        const count = draws.pick([0, GRAIN, made.acked])
        await call(made, 'settle', [made.order, count, count === 0 ? '0x' : toHex(await sign(made, count))])
      },
    ],
    [
      1,
      'top up',
      async (made) => {
        if (made.kind !== 'token') return
        const amount = made.order.price / 4n
        await call(made, 'topUp', [made.order, amount], made.order.token === ETH ? amount : 0n)
      },
    ],
    [1, 'record', async (made) => void (await call(made, 'updateTransferred', [made.id, next(made)]))],
    [
      2,
      'Alipay',
      async () => {
        const faults = ['forged', 'altered', 'unsigned', 'other-trade', 'busy', 'bad-gateway'] as const
        const fault = draws.pick([undefined, undefined, ...faults])
        world.note(`Alipay: ${fault ?? 'as it should'}`)
        setup.alipay.fault(fault)
      },
    ],
    [
      10,
      'time',
      async () => {
        const blocks = draws.between(1, 5)
        world.note(`${blocks} blocks`)
        for (let i = 0; i < blocks; i++) await world.pass(BLOCK_TIME)
      },
    ],
    [
      2,
      'reorganisation',
      async () => {
        if (confirmations < 2) return
        const drop = draws.once(2)
        world.note(`the newest block is replaced${drop ? ', without some of what was in it' : ''}`)
        await chain.reorg(1, () => drop && draws.once(2))
        await world.pass(BLOCK_TIME)
      },
    ],
    [
      2,
      'blind',
      async () => {
        const seconds = draws.between(20, GRACE / 3)
        world.note(`the seller sees nothing for ${seconds} s`)
        machine.view.hung = true
        await world.pass(seconds)
        machine.view.hung = false
        await world.pass(BLOCK_TIME)
      },
    ],
    [
      3,
      'away',
      async () => {
        await away(draws.pick(['stop', 'crash'] as const), draws.between(0, 5))
      },
    ],
  ]
  const weighed = moves.flatMap(([weight, , run]) => Array.from({ length: weight }, () => run))

  await start()
  await world.pass(BLOCK_TIME)
  for (let left = draws.between(30, 60); left > 0; left--) {
    const made = any() ?? (await create())
    await draws.pick(weighed)(made)
    await world.flow()
  }

  // ------------------------------------------------------------------------------------------------------------ the end

  world.note('the end')
  setup.alipay.fault()
  machine!.view.hung = false
  for (const made of orders) if (made.kind === 'token' && draws.once(2)) await call(made, 'requestClose', [made.order])
  const ofChain = orders.filter(({ kind }) => kind === 'token')
  for (let i = 0; i < 60; i++) {
    await world.pass(3 * BLOCK_TIME)
    const open = []
    for (const made of ofChain) if ((await world.ledger(made.id)).state === 'open') open.push(made)
    if (open.every(({ id }) => !told.get(id))) break
    for (const made of open) await call(made, 'settle', [made.order, 0, '0x'])
  }

  const losses: Loss[] = []
  for (const made of orders) {
    const { id, order, item, kind, mode } = made
    const delivered = [...made.got.values()].reduce((sum, bytes) => sum + bytes, 0)
    const { paid } = kind === 'token' ? await world.ledger(id) : { paid: 0n }
    let money = paid
    if (kind === 'alipay') money = made.fen
    if (kind === 'channel' && sellerNode) {
      const payments = sellerNode.node.payments('in', paymentPrefix(id))
      for await (const { state, amount } of payments) if (state === 'done') money += amount
    }
    const full = (kind === 'alipay' ? item.alipayPrice : item.price) ?? 0n
    // Prices of parts are rounded down.
    const worth = money === 0n ? 0 : Number(((money + 1n) * BigInt(item.size)) / full)
    const cap = kind === 'token' && mode === 'onchain' ? 1 : WINDOW
    const credit = kind === 'alipay' ? 0 : Math.min(cap, 1 + Math.floor(worth / GRAIN)) * GRAIN
    const allowed = kind === 'sample' ? FREE * GRAIN : worth + credit
    if (delivered > allowed) {
      const why = `${delivered} bytes of ${item.id} by ${kind} for ${money}, which is worth ${worth} and ${credit} on credit`
      losses.push({ who: 'seller', order: id, why })
    }
    const counted = told.get(id) ?? 0n
    if (kind === 'token' && paid < counted) losses.push({ who: 'seller', order: id, why: `told of ${counted}, has ${paid}` })
    if (order.token === CNY && kind !== 'alipay' && delivered > 0 && kind !== 'sample')
      losses.push({ who: 'seller', order: id, why: 'paid in fen without Alipay' })
  }
  await stop('stop')
  if (eve) {
    await world.driven(eve.node.stop().then(() => world.network.leave('ws://eve')), { step: 1000 })
    await eve.store.close()
  }
  await clock.step(600_000)
  return losses
}

/** What is for sale by each kind of payment. */
const soldBy: Readonly<Record<PaymentKind, readonly string[]>> = {
  sample: ['item'],
  alipay: ['item', 'twin'],
  channel: ['item', 'twin', 'live'],
  token: ['item', 'twin', 'coin', 'live'],
}

/** Terms that are not what the menu says. */
const wrongs: readonly { readonly name: string; change(order: Order, world: World): Partial<Order> }[] = [
  { name: 'for less', change: ({ price }) => ({ price: price / 2n }) },
  { name: 'for nothing', change: () => ({ price: 0n }) },
  { name: 'for one unit', change: () => ({ price: 1n }) },
  { name: 'in the other money', change: ({ token }, { setup }) => ({ token: token === ETH ? setup.token : ETH }) },
  { name: 'in fen', change: () => ({ token: CNY }) },
  { name: 'for more bytes', change: ({ totalData }) => ({ totalData: totalData * 2 }) },
  { name: 'to itself', change: (_, { setup }) => ({ seller: setup.wallets.mallory.address }) },
  { name: 'with a short life', change: (_, world) => ({ deadline: world.now() + 30 }) },
  { name: 'with another salt', change: () => ({ salt: toHex(randomBytes(32)) }) },
  { name: 'with another root', change: () => ({ dataRoot: toHex(randomBytes(32)) }) },
]

function kindsOf({ theme, draws }: World): readonly PaymentKind[] {
  switch (theme) {
    case 'buyer/token':
    case 'buyer/onchain':
      return ['token', 'token', 'token', 'sample']
    case 'buyer/alipay':
      return ['alipay', 'alipay', 'sample']
    case 'buyer/channel':
      return ['channel', 'channel', 'sample']
    default:
      return draws.once(4) ? ['token', 'alipay', 'channel', 'sample'] : ['token', 'alipay', 'sample']
  }
}
