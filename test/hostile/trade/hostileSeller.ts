/**
 * A hostile seller against an honest buyer: it speaks the protocol by hand, delivers what it likes when it likes, and takes to
 * the chain whatever it has been given.
 *
 * The buyer pays for nothing that its caller has not had, all that its caller has had is what the menu promised, and what is
 * left of its deposits comes back to it.
 * @module
 */
import { createBuyer, type Buyer, type Purchase } from '../../../src/buyer/index.ts'
import type { ChannelNode } from '../../../src/channel/channelNode.ts'
import { dataTradeInterface } from '../../../src/contracts/dataTrade.ts'
import type { Order } from '../../../src/contracts/order.ts'
import { equalBytes, fromHex, randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { generateKey, keyFromSecret } from '../../../src/core/crypto/key.ts'
import { createMerkleTree, leafHash } from '../../../src/core/crypto/merkle.ts'
import { SluiceError } from '../../../src/core/errors.ts'
import { alipayPayer, channelPayer } from '../../../src/payments/index.ts'
import { paymentPrefix } from '../../../src/payments/channel/paymentId.ts'
import { frameFor } from '../../../src/protocol/frame.ts'
import { keyIdentity } from '../../../src/protocol/identity.ts'
import { memoryTransportPair } from '../../../src/protocol/memoryTransport.ts'
import { ETH, menuToWire, type Item, type Menu } from '../../../src/protocol/menu.ts'
import { decodeMessage, encodeMessage, MAX_TEXT_TO_SELLER, signedBytes, type MessageOf } from '../../../src/protocol/message.ts'
import { orderFromWire, payFor } from '../../../src/protocol/order.ts'
import type { Transport } from '../../../src/protocol/transport.ts'
import { PROTOCOL_VERSION, type MessageType, type Payload } from '../../../src/protocol/wire.ts'
import { CHUNK_FEN, CHUNK_PRICE, CHUNKS, GRAIN, GRACE, WINDOW, type Name } from './setup.ts'
import { BLOCK_TIME, codeOf, short, type Loss, type Machine, type World } from './world.ts'

/** An order that the seller was shown. */
interface Shown {
  readonly id: Hex
  readonly order: Order
  readonly wire: Payload<'order'>
  /** All acknowledgements that came. */
  readonly vouchers: { readonly transferred: number; readonly signature: Uint8Array }[]
}

/** A stream that the buyer waits on. */
interface Line {
  readonly shown: Shown
  readonly stream: number
  readonly transport: Transport
  readonly session: Hex
  /** Next chunk that is due. */
  index: number
  open: boolean
  /** Frames that were sent. */
  readonly sent: Uint8Array[]
}

/** What an honest buyer has of an order. */
interface Bought {
  readonly item: string
  readonly first: number
  /** Where what its caller has ends, in bytes from the start of the order. */
  had: number
  wrong: boolean
  total: number
}

/** Runs against an honest buyer. */
export async function runHostileSeller(world: World): Promise<readonly Loss[]> {
  const { setup, draws, clock, chain, theme } = world
  const { dataTrade, domain, tokenNetwork, wallets } = setup
  const payment = theme === 'seller/alipay' ? 'alipay' : theme === 'seller/channel' ? 'channel' : 'token'
  const withChannel = payment === 'channel'
  const entries = new Map<string, Uint8Array>()
  const nodeEntries = new Map<string, Uint8Array>()
  const accountOf = (name: Name): Hex => wallets[name].address.toLowerCase() as Hex
  const balance = async (): Promise<bigint> =>
    BigInt((await chain.send('eth_getBalance', [accountOf('honest'), 'latest'])) as string)
  const brought = await balance()

  let machine: Machine
  let buyer: Buyer
  let buyerNode: { node: ChannelNode; store: { kill(): void; close(): Promise<void> } } | undefined
  let running = false
  const bought = new Map<Hex, Bought>()
  const links = new Set<Transport>()
  const shown = new Map<Hex, Shown>()
  const lines: Line[] = []
  /** Ways to Alipay that money took, by the merchant's number. */
  const trades = new Map<string, string>()
  /** While a purchase goes on. */
  let busy = 0

  // ------------------------------------------------------------------------------------------------- the hostile seller

  const key = keyFromSecret(fromHex(wallets.eve.privateKey, 32))
  const identity = keyIdentity(key, domain)
  const trees = Object.fromEntries(
    Object.entries(setup.data).map(([id, data]) => [
      id,
      createMerkleTree(Array.from({ length: CHUNKS }, (_, i) => leafHash(data.subarray(i * GRAIN, (i + 1) * GRAIN)))),
    ]),
  )
  const chunkOf = (id: string, index: number): Uint8Array => setup.data[id]!.subarray(index * GRAIN, (index + 1) * GRAIN)
  const price = CHUNK_PRICE * BigInt(CHUNKS)
  const items: readonly Item[] = Object.entries(setup.data).map(([id, data]) => ({
    id,
    size: data.length,
    info: '',
    price,
    token: id === 'coin' ? setup.token : ETH,
    granularity: GRAIN,
    root: toHex(trees[id]!.root),
    live: false,
    sample: undefined,
    alipayPrice: id === 'coin' ? undefined : CHUNK_FEN * BigInt(CHUNKS),
  }))
  const offer = (): Menu => ({
    items: draws.once(8) ? items.map((item) => ({ ...item, price: item.price * 2n, root: toHex(randomBytes(32)) })) : items,
    granularity: GRAIN,
    payments: ['token', 'alipay', 'channel'],
    modes: ['voucher', 'onchain'],
    window: draws.once(8) ? 64 : WINDOW,
    seller: identity.address,
    chainId: domain.chainId,
    contract: domain.verifyingContract,
    validUntil: undefined,
  })

  const say = async <T extends MessageType>(transport: Transport, type: T, payload: Payload<T>): Promise<void> => {
    const signature = await identity.signBytes(signedBytes(type, payload, ''))
    transport.send(encodeMessage({ type, payload, signature, verification: '' }))
  }

  const serve = (transport: Transport): void => {
    const session = toHex(randomBytes(32))
    links.add(transport)
    transport.receive({
      closed: () => {
        links.delete(transport)
        for (const line of lines) if (line.transport === transport) line.open = false
      },
      packet: (packet) => {
        if (typeof packet !== 'string') return
        const message = decodeMessage(packet, MAX_TEXT_TO_SELLER)
        if (message.type === 'hello')
          void say(transport, 'hello', {
            version: PROTOCOL_VERSION,
            chain_id: domain.chainId.toString(),
            contract: dataTrade,
            public_key_of_the_seller: toHex(identity.publicKey),
            nonce: session,
            reply_to: message.payload.nonce,
          }).then(() => say(transport, 'menu', menuToWire(offer())))
        else if (message.type === 'order' || message.type === 'resume') open(transport, session, message)
        else if (message.type === 'ACK')
          takeAck(message)
        else if (message.type === 'exit' && !draws.once(4))
          void say(transport, 'exit', { order_ID: message.payload.order_ID, session, rating: null, reason: null })
      },
    })
  }

  const takeAck = ({ payload, signature }: MessageOf<'ACK'>): void => {
    shown.get(payload.order_ID as Hex)?.vouchers.push({ transferred: payload.transferred, signature })
  }

  const open = (transport: Transport, session: Hex, message: MessageOf<'order'> | MessageOf<'resume'>): void => {
    const id = ('order_hash' in message.payload ? message.payload.order_hash : message.payload.order_ID) as Hex
    if ('order_hash' in message.payload && !shown.has(id))
      shown.set(id, { id, order: orderFromWire(message.payload.terms), wire: message.payload, vouchers: [] })
    const known = shown.get(id)
    if (!known) return
    const received = 'received' in message.payload ? message.payload.received : 0
    for (const line of lines) if (line.shown === known) line.open = false
    const { stream } = message.payload
    const index = known.wire.first_chunk + Math.floor(received / GRAIN)
    lines.push({ shown: known, stream, transport, session, index, open: true, sent: [] })
  }

  const frame = async (line: Line, index: number, body: Uint8Array, as = index, honest = true): Promise<Uint8Array> => {
    const { wire, id } = line.shown
    const proof = trees[wire.data_ID]!.proof(Math.min(index, CHUNKS - 1))
    const by = honest ? identity : keyIdentity(generateKey(), domain)
    const proofHash = toHex(engine().keccak256(proof))
    const claimed = { orderId: id, index: as, leaf: toHex(leafHash(body)), proofHash }
    const claim = wire.claims ? await by.signTyped('ChunkClaim', claimed) : undefined
    const made = frameFor(line.stream, as, body.length, proof, claim)
    made.body.set(body)
    return made.frame
  }
  const send = (line: Line, packet: Uint8Array): void => {
    line.sent.push(packet.slice())
    line.transport.send(packet)
  }
  const deliver = async (line: Line, most: number): Promise<void> => {
    const { data_ID, first_chunk, chunk_count } = line.shown.wire
    for (let i = 0; i < most && line.open && line.index < first_chunk + chunk_count; i++) {
      const best = line.shown.vouchers.reduce((sum, { transferred }) => Math.max(sum, transferred), 0) / GRAIN
      const cap = theme === 'seller/onchain' ? 1 : WINDOW
      if (line.index - first_chunk >= Math.floor(best) + Math.min(cap, 1 + Math.floor(best))) return
      const body = chunkOf(data_ID, line.index)
      send(line, await frame(line, line.index++, body))
      await world.flow()
    }
    if (line.index >= first_chunk + chunk_count && draws.once(2))
      await say(line.transport, 'exit', { order_ID: line.shown.id, session: line.session, rating: null, reason: null })
  }

  const cheat = async (line: Line): Promise<void> => {
    const { data_ID, first_chunk } = line.shown.wire
    const truth = chunkOf(data_ID, Math.min(line.index, CHUNKS - 1))
    const how = draws.between(0, 9)
    world.note(`the seller cheats (${how}) on ${short(line.shown.id)} at chunk ${line.index}`)
    const altered = truth.slice()
    altered[draws.between(0, altered.length - 1)]! ^= 1
    switch (how) {
      case 0:
        return send(line, await frame(line, line.index, altered))
      case 1:
        return send(line, await frame(line, (line.index + 1) % CHUNKS, chunkOf(data_ID, (line.index + 1) % CHUNKS)))
      case 2:
        return send(line, await frame(line, line.index, truth, line.index, false))
      case 3:
        return send(line, await frame(line, line.index, truth.subarray(0, 5)))
      case 4:
        for (let i = line.index; i < CHUNKS; i++) send(line, await frame(line, i, chunkOf(data_ID, i)))
        return
      case 5:
        if (line.sent.length > 0) line.transport.send(draws.pick(line.sent).slice())
        return
      case 6:
        return say(line.transport, 'exit', {
          order_ID: line.shown.id,
          session: line.session,
          rating: null,
          reason: {
            code: draws.pick(['PAYMENT_LATE', 'TIMEOUT', 'ORDER_FINISHED', 'SOURCE_FAILED', 'PAYMENT_INVALID']),
            message: 'as it likes',
          },
        })
      case 7:
        return say(line.transport, 'exit', { order_ID: line.shown.id, session: line.session, rating: null, reason: null })
      case 8:
        return line.transport.send(draws.bytes(70))
      default:
        return send(line, await frame(line, line.index, chunkOf(data_ID === 'item' ? 'twin' : 'item', first_chunk)))
    }
  }

  /** Takes an order's money with what it was given: the best, an older one, one of another order, or one that says more. */
  const cash = async ({ id, order, vouchers }: Shown): Promise<void> => {
    const others = [...shown.values()].flatMap((each) => each.vouchers)
    const from = draws.pick([vouchers.slice(-1), vouchers.slice(-1), vouchers, others])
    const chosen = from.length > 0 ? draws.pick(from) : undefined
    const more = draws.once(4) ? GRAIN : 0
    const count = Math.min((chosen?.transferred ?? 0) + more, order.totalData)
    const name = draws.once(2) ? 'settle' : 'redeem'
    world.note(`the seller calls ${name} of ${short(id)} with ${count}`)
    const args = [order, count, chosen ? toHex(chosen.signature) : '0x'] as const
    const data = dataTradeInterface.encodeFunctionData(name as 'settle', args as never)
    await world.transact('eve', dataTrade, data)
    if (draws.once(2)) await world.pass(BLOCK_TIME)
  }

  // -------------------------------------------------------------------------------------------------- the honest buyer

  const start = async (): Promise<void> => {
    machine = world.machine('honest', entries)
    const { store } = machine
    if (withChannel)
      buyerNode = await world.node(machine, nodeEntries, 'ws://honest', { account: accountOf('eve'), endpoint: 'ws://eve' })
    const alipay = alipayPayer({
      pay: async ({ outTradeNo, fen }) => {
        const known = trades.get(outTradeNo) ?? setup.alipay.pay(outTradeNo, fen)
        trades.set(outTradeNo, known)
        return known
      },
    })
    const channel = buyerNode && [channelPayer({ channel: buyerNode.node, tokenNetworks: { [ETH]: tokenNetwork }, clock })]
    buyer = await world.driven(
      createBuyer({
        signer: machine.wallet,
        store,
        dataTrade,
        payers: [alipay, ...(channel ?? [])],
        connect: async () => {
          if (draws.once(6)) throw new SluiceError('CONNECTION_FAILED', 'nobody is there')
          const [ours, theirs] = memoryTransportPair({ names: ['memory:buyer', 'memory:seller'] })
          serve(theirs)
          return ours
        },
        openTimeout: 60_000,
        reconnects: 3,
        clock,
        log: world.logger('buyer'),
      }),
    )
    running = true
  }
  const stop = async (how: 'stop' | 'crash'): Promise<void> => {
    running = false
    if (how === 'crash') {
      machine.die()
      for (const link of links) link.close(1006)
      if (buyerNode) {
        buyerNode.store.kill()
        world.network.kill('ws://honest')
      }
    }
    await world.driven(buyer.close(), { step: 1000, blocks: how === 'stop' })
    if (buyerNode) {
      await world.driven(buyerNode.node.stop().then(() => world.network.leave('ws://honest')), { step: 1000 })
      await buyerNode.store.close()
    }
    await machine.store.close()
  }

  /** Iterates as a caller does; what it has had when its process dies, it has had. */
  const consume = async (purchase: Purchase, what: string, known?: Bought, item?: string, first = 0): Promise<void> => {
    const on = machine
    /** Milliseconds that the caller takes for a chunk: what waits meanwhile is not paid. */
    const pause = draws.pick([0, 0, 3_000, 30_000])
    busy++
    try {
      const [id, offset] = [await purchase.orderId, await purchase.offset]
      const mine = known ?? bought.get(id) ?? { item: item!, first, had: 0, wrong: false, total: 0 }
      bought.set(id, mine)
      let at = offset
      for await (const chunk of purchase) {
        if (on.store.dead) break
        const from = mine.first * GRAIN + at
        if (!equalBytes(chunk, setup.data[mine.item]!.subarray(from, from + chunk.length))) mine.wrong = true
        if (at > mine.had) mine.wrong = true // a gap
        at += chunk.length
        mine.had = Math.max(mine.had, at)
        if (pause > 0) await clock.sleep(pause)
        if (on.store.dead) break
      }
      world.note(`${what} of ${short(id)} is over`)
    } catch (error) {
      world.note(`${what}: ${codeOf(error)}`)
    } finally {
      busy--
    }
  }

  const buy = async (): Promise<void> => {
    const item = draws.pick(payment === 'token' ? ['item', 'twin', 'coin'] : ['item', 'twin'])
    const first = draws.between(0, CHUNKS - 2)
    const count = draws.between(1, CHUNKS - first)
    const mode = theme === 'seller/onchain' ? 'onchain' : 'voucher'
    world.note(`the buyer orders ${count} of ${item} by ${payment}`)
    const claims = draws.once(2)
    const [lifetime, maxPrice] = [draws.pick([900, 3600]), price * 2n]
    const what = { seller: 'ws://seller', item, chunks: { first, count } }
    void consume(buyer.buy({ ...what, payment, mode, lifetime, claims, maxPrice }), 'a purchase', undefined, item, first)
    await world.flow()
    if (payment === 'token') for (let i = 0; i < 3; i++) await world.pass(5)
    await world.flow()
  }

  const eveMachine = world.machine('eve', new Map())
  const eve = withChannel
    ? await world.node(eveMachine, new Map(), 'ws://eve', { account: accountOf('honest'), endpoint: 'ws://honest' })
    : undefined

  const anyLine = (): Line | undefined => lines.findLast((line) => line.open)
  const moves: readonly (readonly [weight: number, run: () => Promise<void>])[] = [
    [4, async () => void (busy < 2 && (await buy()))],
    [
      12,
      async () => {
        const line = anyLine()
        if (!line) return
        const most = draws.between(1, 4)
        world.note(`the seller delivers up to ${most} of ${short(line.shown.id)}`)
        await deliver(line, most)
        if (theme === 'seller/onchain') for (let i = 0; i < 2; i++) await world.pass(5)
      },
    ],
    [
      4,
      async () => {
        const line = anyLine()
        if (line) await cheat(line)
      },
    ],
    [
      3,
      async () => {
        if (payment === 'token' && shown.size > 0) await cash(draws.pick([...shown.values()]))
      },
    ],
    [
      3,
      async () => {
        world.note('the seller cuts the link')
        for (const link of links) link.close(1006)
        await world.pass(1)
      },
    ],
    [
      8,
      async () => {
        const seconds = draws.pick([2, 20, 60])
        world.note(`${seconds} s`)
        await world.pass(seconds)
      },
    ],
    [
      3,
      async () => {
        if (bought.size === 0 || busy > 1) return
        const [id, known] = draws.pick([...bought])
        world.note(`the buyer goes on with ${short(id)}`)
        void consume(buyer.resume(id), 'going on', known)
        await world.flow()
      },
    ],
    [
      2,
      async () => {
        if (payment !== 'token' || bought.size === 0) return
        const [id] = draws.pick([...bought])
        world.note(`the buyer takes back ${short(id)}`)
        void buyer.reclaim(id).catch((error: unknown) => world.note(`taking back: ${codeOf(error)}`))
        await world.pass(BLOCK_TIME)
      },
    ],
    [
      2,
      async () => {
        const seconds = draws.between(20, GRACE / 3)
        world.note(`the buyer sees nothing for ${seconds} s`)
        machine.view.hung = true
        await world.pass(seconds)
        machine.view.hung = false
        await world.pass(BLOCK_TIME)
      },
    ],
    [
      2,
      async () => {
        const how = draws.pick(['stop', 'crash'] as const)
        world.note(`the buyer ${how === 'stop' ? 'stops' : 'crashes'}`)
        await stop(how)
        for (let i = draws.between(0, 3); i > 0; i--) await world.pass(BLOCK_TIME)
        await start()
      },
    ],
  ]
  const weighed = moves.flatMap(([weight, run]) => Array.from({ length: weight }, () => run))

  await start()
  await world.pass(BLOCK_TIME)
  await buy()
  for (let left = draws.between(30, 60); left > 0; left--) {
    await draws.pick(weighed)()
    await world.flow()
  }

  // ------------------------------------------------------------------------------------------------------------ the end

  world.note('the end')
  if (!running) await start()
  machine!.view.hung = false
  for (const link of links) link.close(1006)
  await world.pass(BLOCK_TIME)
  const stored: { readonly id: Hex; readonly evidence: boolean }[] = []
  for await (const { record, evidence } of buyer!.orders()) stored.push({ id: record.id, evidence: evidence !== undefined })
  const losses: Loss[] = []
  if (payment === 'token') {
    for (const { id, evidence } of stored) {
      const { state } = await world.ledger(id)
      if (state !== 'open') continue
      world.note(`the buyer ends ${short(id)}${evidence ? ' by a dispute' : ''}`)
      const ended = evidence ? buyer!.dispute(id) : buyer!.reclaim(id)
      await world.driven(ended, { step: 20_000, blocks: true }).catch((error: unknown) => {
        losses.push({ who: 'buyer', order: id, why: `its deposit does not come back: ${codeOf(error)}` })
      })
    }
  }
  await world.pass(BLOCK_TIME)
  let spent = 0n
  for (const id of new Set([...stored.map((each) => each.id), ...bought.keys()])) {
    const mine = bought.get(id)
    const had = mine?.had ?? 0
    if (mine?.wrong) losses.push({ who: 'buyer', order: id, why: `was given what is not the data of ${mine.item}` })
    const order = shown.get(id)?.order
    const most = order ? payFor(order, Math.min(had, order.totalData)) : 0n
    if (payment === 'token') {
      const { paid, state, deposit } = await world.ledger(id)
      if (paid > most) losses.push({ who: 'buyer', order: id, why: `paid ${paid} for ${had} bytes, which are worth ${most}` })
      if (!order || order.token === ETH) spent += state === 'open' ? deposit : paid
    }
    if (buyerNode && withChannel) {
      let paid = 0n
      const payments = buyerNode.node.payments('out', paymentPrefix(id))
      for await (const { state, amount } of payments) if (state !== 'failed') paid += amount
      // A payment may have left while its acknowledgement has not: for what the caller has had, all the same.
      const why = `paid ${paid} by channel for ${had} bytes, which are worth ${most}`
      if (paid > most) losses.push({ who: 'buyer', order: id, why })
    }
  }
  if (payment === 'token') {
    // A raised fee is no longer none.
    const has = (await balance()) + chain.spentBy(accountOf('honest')).wei
    if (has < brought - spent) losses.push({ who: 'buyer', order: undefined, why: `has ${brought - has} less, and paid ${spent}` })
  }
  await stop('stop')
  if (eve) {
    await world.driven(eve.node.stop().then(() => world.network.leave('ws://eve')), { step: 1000 })
    await eve.store.close()
  }
  await clock.step(600_000)
  return losses
}
