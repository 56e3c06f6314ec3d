/**
 * Payments over channels on real nodes and a real chain.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountOf, eventually, startTown, type Resident, type Town } from '../../../test/channel/support/town.ts'
import type { Order } from '../../contracts/order.ts'
import { dataTradeDigests, dataTradeDomain, type DataTradeDomain } from '../../contracts/typedData.ts'
import { fromHex, randomBytes, toHex } from '../../core/bytes.ts'
import { generateKey, keyFromSecret, type Key } from '../../core/crypto/key.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { ETH, ZERO32 } from '../../protocol/menu.ts'
import { paymentSuite, type PaymentUnderTest, type PlacedOrder } from '../../testing/paymentSuite.ts'
import type { PaymentMethod, Till } from '../payment.ts'
import { channelPayer, type ChannelPayerOptions } from './buyer.ts'
import type { ChannelPayment, ChannelPort } from './channelPort.ts'
import { paymentId } from './paymentId.ts'
import { channelPayments, type ChannelPaymentsOptions } from './seller.ts'

let town: Town
let alice: Resident
let bob: Resident
let domain: DataTradeDomain
const { signal } = new AbortController()

beforeAll(async () => {
  town = await startTown()
  alice = await town.resident('alice')
  bob = await town.resident('bob')
  domain = dataTradeDomain(town.devnet.chainId, town.devnet.deployment.dataTrade)
  await town.channel(alice, bob, 10n ** 12n)
})
afterAll(() => town.stop())

const networks = (): Record<string, string> => ({ [ETH]: town.tokenNetwork })

/** An order of 1,000 bytes from alice to bob. */
function place(changes: Partial<Order> = {}): { payable: PlacedOrder['payable']; session: Key } {
  const session = generateKey()
  const order: Order = {
    buyer: alice.wallet.address,
    seller: bob.wallet.address,
    token: ETH,
    ackSigner: session.address,
    price: 1_000_000n,
    totalData: 1000,
    chunks: 0,
    dataRoot: ZERO32,
    deadline: Math.floor(Date.now() / 1000) + 86_400,
    salt: toHex(randomBytes(32)),
    ...changes,
  }
  return { payable: { id: toHex(dataTradeDigests(domain).Order(order)), order, mode: 'voucher' }, session }
}

const open = (options: Partial<ChannelPaymentsOptions> = {}): PaymentMethod =>
  channelPayments({
    channel: bob.node,
    tokenNetworks: networks(),
    digests: dataTradeDigests(domain),
    store: memoryStore(),
    arrivalTimeout: 150,
    ...options,
  })

async function openUnderTest(): Promise<PaymentUnderTest> {
  const entries = new Map<string, Uint8Array>()
  let store = memoryStore(entries)
  let method = open({ store })
  return {
    method,
    domain,
    credit: true,
    place: async (percent) => {
      const { payable, session } = place()
      const amount = (payable.order.price * BigInt(percent)) / 100n
      const id = paymentId(payable.id, 0)
      if (percent > 0) await alice.node.pay({ to: bob.wallet.address, amount, id })
      return { payable, verification: percent > 0 ? id : '', buyer: keyFromSecret(fromHex(alice.wallet.privateKey)), session }
    },
    reopen: async () => {
      await method.close()
      await store.close()
      await bob.node.stop()
      bob = await town.resident('bob')
      await eventually('the link', () => alice.node.channels()[0]?.online)
      store = memoryStore(entries)
      return (method = open({ store }))
    },
    close: () => method.close(),
  }
}

paymentSuite('channelPayments', openUnderTest, { describe, it, expect })

describe('channelPayments', () => {
  const acknowledge = (till: Till, { payable, session }: ReturnType<typeof place>, transferred: number, verification = ''): Promise<void> =>
    till.receive({
      transferred,
      signature: session.sign(dataTradeDigests(domain).Ack({ orderId: payable.id, transferred })),
      verification,
    })
  const pay = (id: string, amount: bigint) => alice.node.pay({ to: bob.wallet.address, amount, id })

  it('waits for a payment that comes after its acknowledgement, and no longer than it is told', async () => {
    const method = open({ arrivalTimeout: 3_000 })
    const placed = place()
    const till = await method.accept(placed.payable, '', { signal })
    const early = acknowledge(till, placed, 250)
    expect(till.paid).toBe(0)
    await pay(paymentId(placed.payable.id, 0), 250_000n)
    await early
    expect(till.paid).toBe(250)
    const never = acknowledge(till, placed, 251)
    await method.close()
    await expect(never).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('counts the payments of an order together, whatever their sizes, and one payment once', async () => {
    const method = open()
    const placed = place({ price: 1000n, totalData: 3 })
    const { id } = placed.payable
    const till = await method.accept(placed.payable, '', { signal })
    await pay(paymentId(id, 0), 332n)
    await expect(acknowledge(till, placed, 1)).rejects.toMatchObject({ code: 'PAYMENT_INVALID', details: { due: 333n, arrived: 332n } })
    await pay(paymentId(id, 7), 1n)
    await acknowledge(till, placed, 1, paymentId(id, 7))
    await expect(acknowledge(till, placed, 2, paymentId(id, 7))).rejects.toMatchObject({ code: 'PAYMENT_INVALID', details: { due: 666n, arrived: 333n } })
    // The same id again moves nothing at the payer's node, and brings nothing.
    await pay(paymentId(id, 0), 332n)
    await expect(acknowledge(till, placed, 2)).rejects.toMatchObject({ code: 'PAYMENT_INVALID' })
    await pay(paymentId(id, 8), 667n)
    await acknowledge(till, placed, 3)
    expect(till.paid).toBe(3)
    await method.close()
  })

  it('keeps the highest of acknowledgements that come at once', async () => {
    const store = memoryStore()
    const method = open({ store })
    const placed = place()
    await pay(paymentId(placed.payable.id, 0), 1_000_000n)
    const till = await method.accept(placed.payable, '', { signal })
    await Promise.all([400, 300, 100].map((transferred) => acknowledge(till, placed, transferred)))
    expect(till.paid).toBe(400)
    await method.close()
    const again = open({ store })
    expect((await again.accept(placed.payable, '', { signal })).paid).toBe(400)
    await again.close()
  })

  it('counts for an order that it has not listened to for long what came in meanwhile', async () => {
    const placed = place()
    const { id, order, mode } = placed.payable
    let reads = 0
    const { account, events } = bob.node
    const method = open({
      channel: {
        account,
        events,
        pay: (request) => bob.node.pay(request),
        payments: (direction, prefix) => {
          if (id.startsWith(prefix)) reads++
          return bob.node.payments(direction, prefix)
        },
      },
    })
    const till = await method.accept(placed.payable, '', { signal })
    for (let i = 0; i < 10_000; i++) await method.accept({ id: toHex(randomBytes(32)), order, mode }, '', { signal })
    await pay(paymentId(id, 0), 1_000_000n)
    await acknowledge(till, placed, 900)
    await acknowledge(till, placed, 1000)
    expect([till.paid, reads]).toEqual([1000, 2])
    await method.close()
  })

  it('reads what came in while it was not there, and counts what comes while it reads once', async () => {
    const placed = place()
    const { id } = placed.payable
    await pay(paymentId(id, 0), 100_000n)
    let arrived: ((payment: { paymentId: `0x${string}`; tokenNetwork: string; amount: bigint }) => void) | undefined
    const method = open({
      // The node as it is, but that an event comes between two entries of its record.
      channel: {
        account: bob.node.account,
        pay: (request) => bob.node.pay(request),
        events: {
          on: (event, listener) => {
            arrived = listener
            return bob.node.events.on(event, listener)
          },
        },
        async *payments(direction, prefix) {
          for await (const payment of bob.node.payments(direction, prefix)) {
            arrived!({ paymentId: payment.id, tokenNetwork: payment.tokenNetwork, amount: payment.amount })
            yield payment
          }
        },
      },
    })
    const till = await method.accept(placed.payable, '', { signal })
    await acknowledge(till, placed, 100)
    await expect(acknowledge(till, placed, 101)).rejects.toMatchObject({ code: 'PAYMENT_INVALID', details: { arrived: 100_000n } })
    await method.close()
  })

  it('counts what a stranger pays under an id of the order beside what its buyer paid', async () => {
    const placed = place()
    const id = paymentId(placed.payable.id, 0)
    const method = open({
      channel: {
        account: bob.node.account,
        events: bob.node.events,
        pay: (request) => bob.node.pay(request),
        async *payments() {
          for (const amount of [1n, 100_000n]) {
            yield { id, tokenNetwork: town.tokenNetwork, peer: accountOf(alice), amount, fee: 0n, state: 'done' }
          }
        },
      },
    })
    const till = await method.accept(placed.payable, '', { signal })
    await acknowledge(till, placed, 100)
    await expect(acknowledge(till, placed, 101)).rejects.toMatchObject({ details: { arrived: 100_001n } })
    await method.close()
  })

  it('takes no payment of another order, named or not', async () => {
    const method = open()
    const [one, other] = [place(), place()]
    await pay(paymentId(one.payable.id, 0), 1_000_000n)
    const till = await method.accept(other.payable, '', { signal })
    await expect(acknowledge(till, other, 10, paymentId(one.payable.id, 0))).rejects.toMatchObject({
      code: 'PAYMENT_INVALID',
      message: expect.stringContaining('not one of order') as string,
    })
    await expect(acknowledge(till, other, 10, paymentId(other.payable.id, 0))).rejects.toMatchObject({ code: 'PAYMENT_INVALID' })
    await expect(acknowledge(till, other, 10)).rejects.toMatchObject({ code: 'PAYMENT_INVALID', details: { arrived: 0n } })
    await method.close()
  })

  it('takes no payment in another token', async () => {
    const token = `0x${'77'.repeat(20)}`
    const method = open({ tokenNetworks: { ...networks(), [token]: `0x${'88'.repeat(20)}` } })
    const placed = place({ token })
    await pay(paymentId(placed.payable.id, 0), 1_000_000n)
    const till = await method.accept(placed.payable, '', { signal })
    await expect(acknowledge(till, placed, 10)).rejects.toMatchObject({ code: 'PAYMENT_INVALID', details: { arrived: 0n } })
    await method.close()
  })

  it.each([
    ['a token without a network', { token: `0x${'77'.repeat(20)}` }, 'PAYMENT_UNSUPPORTED'],
    ['another seller', { seller: `0x${'77'.repeat(20)}` }, 'ORDER_MISMATCH'],
    ['a deadline that has passed', { deadline: 1_600_000_000 }, 'ORDER_EXPIRED'],
  ])('takes no order for %s', async (_, changes, code) => {
    const method = open()
    await expect(method.accept(place(changes).payable, '', { signal })).rejects.toMatchObject({ code })
    await method.close()
  })

  it('delivers nothing of a finished order anew, and forgets it after its deadline', async () => {
    const store = memoryStore()
    let now = Date.now()
    const clock = { now: () => now, sleep: (ms: number, until?: AbortSignal) => new Promise<void>((_, reject) => until?.addEventListener('abort', () => reject(new Error(String(ms))))) }
    const method = open({ store, clock })
    const [placed, free] = [place({ deadline: Math.floor(now / 1000) + 60 }), place()]
    await pay(paymentId(placed.payable.id, 0), 1_000_000n)
    const till = await method.accept(placed.payable, '', { signal })
    await acknowledge(till, placed, 1000)
    await till.finish()
    await expect(method.accept(placed.payable, '', { signal })).rejects.toMatchObject({ code: 'ORDER_FINISHED' })
    // What brought nothing leaves nothing.
    await (await method.accept(free.payable, '', { signal })).finish()
    const kept = async (): Promise<number> => {
      let count = 0
      for await (const _ of store.list('channel-order/')) count++
      return count
    }
    expect(await kept()).toBe(1)
    await method.close()
    now += 61_000
    const later = open({ store, clock })
    await later.accept(free.payable, '', { signal })
    expect(await kept()).toBe(0)
    await later.close()
  })
})

describe('channelPayer', () => {
  const payments = async (orderId: `0x${string}`) => {
    const found = []
    for await (const payment of alice.node.payments('out', orderId.slice(0, 58))) found.push(payment)
    return found
  }
  const payerOn = (channel: ChannelPort, options: Partial<ChannelPayerOptions> = {}) =>
    channelPayer({ channel, tokenNetworks: networks(), ...options })

  it('pays the difference each time, and exactly the price in all', async () => {
    const payer = payerOn(alice.node)
    const { payable } = place({ price: 1000n, totalData: 7 })
    const { id } = payable
    expect(await payer.open(payable, { deposit: 1000n, signal })).toEqual({ verification: '' })
    for (const [i, transferred] of [1, 2, 5, 7].entries()) {
      expect(await payer.pay(payable, transferred, { signal })).toEqual({ verification: paymentId(id, i) })
    }
    expect((await payments(id)).map(({ amount }) => amount)).toEqual([142n, 143n, 429n, 286n])
    // What is paid is not paid again: by the same course, and by one that knows nothing.
    expect(await payer.pay(payable, 7, { signal })).toEqual({ verification: paymentId(id, 3) })
    expect(await payerOn(alice.node).pay({ ...payable }, 6, { signal })).toEqual({ verification: paymentId(id, 3) })
    expect(await payments(id)).toHaveLength(4)
  })

  it('pays nothing while nothing is due', async () => {
    const { payable } = place({ price: 1n, totalData: 1000 })
    expect(await payerOn(alice.node).pay(payable, 999, { signal })).toEqual({ verification: '' })
    expect(await payments(payable.id)).toEqual([])
  })

  it('says what stands in the way, and goes on under another number when it is gone', async () => {
    const payer = payerOn(alice.node, { attempts: 2 })
    const { payable } = place({ price: 10n ** 13n })
    await expect(payer.pay(payable, 1000, { signal })).rejects.toMatchObject({ code: expect.stringMatching(/NO_ROUTE|CAPACITY_SHORT/) as string })
    expect(await payments(payable.id)).toMatchObject([{ state: 'failed' }, { state: 'failed' }])
    expect(await payer.pay(payable, 1, { signal })).toEqual({ verification: paymentId(payable.id, 2) })
    await expect(payer.open(place({ token: `0x${'77'.repeat(20)}` }).payable, { deposit: 0n, signal })).rejects.toMatchObject({ code: 'PAYMENT_UNSUPPORTED' })
  })

  it('does not wait longer than it is told, and pays nothing twice after that', async () => {
    const { payable } = place()
    // The money goes out, the answer stays out: what a lost link looks like.
    const silent: ChannelPort = {
      account: alice.node.account,
      events: alice.node.events,
      payments: (direction, prefix) => alice.node.payments(direction, prefix),
      pay: async (request) => {
        await alice.node.pay(request)
        return new Promise(() => {})
      },
    }
    const payer = payerOn(silent, { timeout: 300 })
    await expect(payer.pay(payable, 100, { signal })).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(payer.pay(payable, 100, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await payer.pay(payable, 100, { signal })).toEqual({ verification: paymentId(payable.id, 0) })
    expect(await payments(payable.id)).toMatchObject([{ amount: 100_000n, state: 'done' }])
  })

  it('pays nothing more once nobody waits', async () => {
    const { payable } = place()
    const asked: string[] = []
    let end = (): void => {}
    const port: ChannelPort = {
      account: alice.node.account,
      events: alice.node.events,
      async *payments() {
        yield { id: paymentId(payable.id, 0), tokenNetwork: town.tokenNetwork, peer: accountOf(bob), amount: 1n, fee: 0n, state: 'pending' }
      },
      pay: ({ id }) => {
        asked.push(id)
        return new Promise((resolve) => (end = () => resolve({ fee: 0n })))
      },
    }
    await expect(payerOn(port, { timeout: 50 }).pay(payable, 300, { signal })).rejects.toMatchObject({ code: 'TIMEOUT' })
    end()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(asked).toEqual([paymentId(payable.id, 0)])
  })

  it('lets mediators keep so much of an order in all', async () => {
    const { payable } = place({ price: 1000n })
    const offered: bigint[] = []
    const record: ChannelPayment[] = []
    const port: ChannelPort = {
      account: alice.node.account,
      events: alice.node.events,
      async *payments() {
        yield* record
      },
      pay: ({ id, to, amount, tokenNetwork, maxFee }) => {
        offered.push(maxFee)
        record.push({ id, tokenNetwork, peer: to, amount, fee: maxFee / 2n, state: 'done' })
        return Promise.resolve({ fee: maxFee / 2n })
      },
    }
    const payer = payerOn(port)
    await payer.pay(payable, 10, { signal })
    await payer.pay(payable, 700, { signal })
    await payerOn(port).pay(payable, 990, { signal })
    await payerOn(port).pay(payable, 1000, { signal })
    await payerOn(port, { maxFees: 0 }).pay({ ...payable, order: { ...payable.order, price: 2000n } }, 1000, { signal })
    expect(() => payerOn(port, { maxFees: 0.5 })).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }) as Error)
    // 5 % of 10, 700, 990 and 1000, less what was kept before; never less than one.
    expect(offered).toEqual([1n, 35n, 49n - 17n, 50n - 17n - 16n, 1n])
  })

  it('asks for the end of a payment that was under way, and pays what is left', async () => {
    const { payable } = place()
    const id = paymentId(payable.id, 0)
    // A record as a crash may leave it, with either end.
    for (const end of ['done', 'failed'] as const) {
      let state: 'unknown' | 'done' | 'failed' = 'unknown'
      const asked: { id: string; amount: bigint }[] = []
      const port: ChannelPort = {
        account: alice.node.account,
        events: alice.node.events,
        async *payments() {
          yield { id, tokenNetwork: town.tokenNetwork, peer: accountOf(bob), amount: 100_000n, fee: 0n, state }
        },
        pay: ({ id: paying, amount }) => {
          asked.push({ id: paying, amount })
          if (paying === id) state = end
          return paying === id && end === 'failed' ? Promise.reject(new Error('it came back')) : Promise.resolve({ fee: 0n })
        },
      }
      await payerOn(port).pay(payable, 300, { signal })
      expect(asked).toEqual([
        { id, amount: 100_000n },
        { id: paymentId(payable.id, 1), amount: end === 'done' ? 200_000n : 300_000n },
      ])
    }
  })
})
