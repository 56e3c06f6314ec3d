import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Buyer } from '../../src/buyer/index.ts'
import { dataTradeDigests, dataTradeDomain } from '../../src/contracts/typedData.ts'
import { fromHex, toHex, type Hex } from '../../src/core/bytes.ts'
import { engine } from '../../src/core/crypto/engine.ts'
import { keyFromSecret } from '../../src/core/crypto/key.ts'
import { leafHash } from '../../src/core/crypto/merkle.ts'
import { decodeFrame, frameFor } from '../../src/protocol/frame.ts'
import { connectWebSocket } from '../../src/protocol/index.ts'
import type { Connect, Packet } from '../../src/protocol/transport.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { freshAccounts, ledgerOf, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'

const GRANULE = 1000
const data = sampleData(10 * GRANULE)
const price = 1_000_000n

let devnet: Devnet
let shop: Shop
let account: ReturnType<typeof freshAccounts>
const closing: { close(): Promise<void> }[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 20 })
  account = freshAccounts(devnet)
  // The seller is in no hurry, so that a dispute comes first.
  shop = await openShop(devnet, account(), [{ id: 'x', data, price, granularity: GRANULE }], { window: 4, settleDelay: 60_000 })
})
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close()
})
afterAll(async () => {
  await shop.close()
  await devnet.stop()
})

/** A seller that cheats from a chunk on: what arrives is changed on its way, and signed by the seller's own key. */
function cheating(from: number, order: () => Promise<Hex>, by: 'the seller' | 'somebody else' = 'the seller'): Connect {
  const domain = dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade)
  const digests = dataTradeDigests(domain)
  const key = keyFromSecret(by === 'the seller' ? fromHex(shop.account.privateKey) : new Uint8Array(32).fill(9))
  const spoil = async (packet: Packet): Promise<Packet> => {
    if (typeof packet === 'string') return packet
    const { stream, index, proof, claim, body } = decodeFrame(packet)
    if (index < from) return packet
    const wrong = body.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
    const signed = { orderId: await order(), index, leaf: toHex(leafHash(wrong)), proofHash: toHex(engine().keccak256(proof)) }
    const spoiled = frameFor(stream, index, wrong.length, proof, claim && key.sign(digests.ChunkClaim(signed)))
    spoiled.body.set(wrong)
    return spoiled.frame
  }
  return async (url, options) => {
    const transport = await connectWebSocket(url, options)
    let tail = Promise.resolve()
    return {
      ...transport,
      receive: ({ packet, closed }) =>
        transport.receive({
          closed,
          packet: (came) => {
            tail = tail.then(async () => packet(await spoil(came))).catch(() => transport.close(1008))
          },
        }),
    }
  }
}

async function cheated(options: { claims: boolean; by?: 'the seller' | 'somebody else' }): Promise<{ buyer: Buyer; id: Hex; got: number; error: unknown }> {
  const connect = cheating(4, () => purchase.orderId, options.by)
  const buyer = await openBuyer(devnet, account(), { connect })
  closing.push(buyer)
  const purchase = buyer.buy({ seller: shop.url, item: 'x', claims: options.claims })
  let got = 0
  let error: unknown
  try {
    for await (const chunk of purchase) got += chunk.length
  } catch (cause) {
    error = cause
  }
  return { buyer, id: await purchase.orderId, got, error }
}

describe('a seller that sends a wrong chunk', () => {
  it('and signed it loses all that was not paid before', async () => {
    const { buyer, id, got, error } = await cheated({ claims: true })
    expect(error).toMatchObject({ code: 'WRONG_CHUNK', details: { index: 4, order: id } })
    expect(got).toBe(4 * GRANULE)
    for await (const stored of buyer.orders()) expect(stored.state).toBe('failed')
    const held = await devnet.provider.getBalance(buyer.address)
    expect(await buyer.dispute(id)).toEqual({ state: 'disputed', refunded: price, paid: 0n })
    expect(await ledgerOf(devnet, id)).toMatchObject({ state: 'disputed', paid: 0n })
    // Less than the gas of the dispute is missing.
    expect(held + price - (await devnet.provider.getBalance(buyer.address))).toBeLessThan(10n ** 15n)
    for await (const stored of buyer.orders()) expect(stored.state).toBe('settled')
  })

  it('and settles before the dispute keeps what was acknowledged before, and no more', async () => {
    const { buyer, id, got } = await cheated({ claims: true })
    await expect.poll(async () => {
      await shop.seller.settle()
      return (await ledgerOf(devnet, id)).state
    }).toBe('settled')
    const { paid } = await ledgerOf(devnet, id)
    expect(paid).toBeLessThanOrEqual((price * BigInt(got)) / BigInt(data.length))
    expect(await buyer.dispute(id)).toEqual({ state: 'settled', refunded: price - paid, paid })
  })

  it('without a claim is not paid for it, and there is nothing to show a judge', async () => {
    const { buyer, id, got, error } = await cheated({ claims: false })
    expect(error).toMatchObject({ code: 'WRONG_CHUNK', details: { index: 4 } })
    expect(got).toBe(4 * GRANULE)
    await expect(buyer.dispute(id)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    expect((await ledgerOf(devnet, id)).paid).toBeLessThanOrEqual((price * BigInt(got)) / BigInt(data.length))
  })

  it('is not blamed for a chunk that somebody else changed', async () => {
    const { buyer, id, got, error } = await cheated({ claims: true, by: 'somebody else' })
    expect(error).toMatchObject({ code: 'BAD_SIGNATURE' })
    expect(got).toBe(4 * GRANULE)
    await expect(buyer.dispute(id)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })
})

describe('dispute', () => {
  it('has nothing to say about an order in which all was well', async () => {
    const buyer = await openBuyer(devnet, account())
    closing.push(buyer)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', claims: true })
    await purchase.bytes()
    await expect(buyer.dispute(await purchase.orderId)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(buyer.dispute(`0x${'00'.repeat(32)}`)).rejects.toMatchObject({ code: 'NO_SUCH_ORDER' })
  })
})
