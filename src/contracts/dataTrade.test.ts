import fc from 'fast-check'
import { Contract, ContractFactory, MaxUint256, toBeHex, ZeroAddress, ZeroHash, type ContractTransactionResponse, type HDNodeWallet, type Result } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import hostile from '../../test/fixtures/contracts/hostile.json' with { type: 'json' }
import { createTrade, type Trade } from '../../test/fixtures/contracts/trade.ts'
import { randomBytes, toHex, utf8, type Hex } from '../core/bytes.ts'
import { revertData, revertError } from '../core/chain/revert.ts'
import { keyFromSecret } from '../core/crypto/key.ts'
import { createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import type { SluiceError } from '../core/errors.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { dataTradeInterface, orderFromStruct, orderStates } from './dataTrade.ts'
import type { DataTrade } from './generated/types/DataTrade.ts'
import type { Order } from './order.ts'
import { dataTradeDigests, dataTradeDomain, orderId } from './typedData.ts'

let devnet: Devnet
let trade: Trade
let buyer: HDNodeWallet
let seller: HDNodeWallet
let session: HDNodeWallet
let stranger: HDNodeWallet
let asBuyer: DataTrade
let asSeller: DataTrade
let asStranger: DataTrade

beforeAll(async () => {
  devnet = await startDevnet({ grace: 900 })
  trade = createTrade(devnet, await devnet.time())
  ;[buyer, seller, session, stranger] = devnet.accounts as [HDNodeWallet, HDNodeWallet, HDNodeWallet, HDNodeWallet]
  const { dataTrade } = devnet.contracts
  ;[asBuyer, asSeller, asStranger] = [dataTrade.connect(buyer), dataTrade.connect(seller), dataTrade.connect(stranger)]
})
afterAll(() => devnet.stop())

const MIB = 1 << 20

async function mined(sent: Promise<ContractTransactionResponse>): Promise<void> {
  await (await sent).wait()
}

async function create(terms: Partial<Order> = {}, deposit?: bigint): Promise<Order> {
  const order = trade.order({ ackSigner: session.address, ...terms })
  const amount = deposit ?? order.price
  await mined(asBuyer.create(order, amount, { value: order.token === ZeroAddress ? amount : 0n }))
  return order
}

/** The typed error that a call ends in. */
async function refusal(call: Promise<unknown>): Promise<SluiceError> {
  const error: unknown = await call.then(
    () => Promise.reject(new Error('the call succeeded')),
    (reason: unknown) => reason,
  )
  const data = revertData(error)
  if (data === undefined) throw error
  return revertError(data, [dataTradeInterface])
}

/** What a call changes in an account's ETH, its own fees not counted. */
async function gain(account: string, run: () => Promise<void>): Promise<bigint> {
  const before = await devnet.provider.getBalance(account)
  await run()
  return (await devnet.provider.getBalance(account)) - before
}

describe('orders', () => {
  it('have the id that the binding computes', async () => {
    const domain = dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade)
    const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(toHex)
    const orders = fc.record({
      buyer: hex(20),
      seller: hex(20),
      token: hex(20),
      ackSigner: hex(20),
      price: fc.bigInt(0n, MaxUint256),
      totalData: fc.maxSafeNat(),
      chunks: fc.maxSafeNat(),
      dataRoot: hex(32),
      deadline: fc.maxSafeNat(),
      salt: hex(32),
    })
    await fc.assert(
      fc.asyncProperty(orders, async (order) => {
        expect(await devnet.contracts.dataTrade.orderId(order)).toBe(orderId(domain, order))
      }),
      { numRuns: 50 },
    )
  })

  it('can be found again by their event', async () => {
    const order = await create({ dataRoot: toHex(randomBytes(32)), chunks: 16 })
    const [log] = await devnet.contracts.dataTrade.queryFilter(devnet.contracts.dataTrade.filters.OrderCreated(trade.id(order)))
    expect(log?.args.buyer).toBe(buyer.address)
    expect(log?.args.deposit).toBe(order.price)
    expect(orderFromStruct(log!.args.order)).toEqual(order)
  })

  it('show the fields of the protocol', async () => {
    const order = await create()
    const shown = await devnet.contracts.dataTrade.orders(trade.id(order))
    expect((shown as unknown as Result).toObject()).toEqual({
      buyer: buyer.address,
      seller: seller.address,
      total_data: BigInt(MIB),
      data_transfered: 0n,
      is_finished: false,
      started_from: BigInt(await devnet.time()),
      deadline: BigInt(order.deadline),
    })
    expect(orderStates[Number((await devnet.contracts.dataTrade.account(trade.id(order))).state)]).toBe('open')
    expect(orderStates[Number((await devnet.contracts.dataTrade.account(ZeroHash)).state)]).toBe('none')
  })

  it('are refused with typed errors that hold the figures', async () => {
    const order = trade.order()
    const foreign = await refusal(asStranger.create.staticCall(order, order.price, { value: order.price }))
    expect(foreign).toMatchObject({ code: 'NOT_THE_BUYER', details: { caller: stranger.address, buyer: buyer.address } })
    const short = await refusal(asBuyer.create.staticCall(order, order.price, { value: order.price - 1n }))
    expect(short).toMatchObject({ code: 'WRONG_VALUE', details: { value: order.price - 1n, expected: order.price } })
    const late = await refusal(asBuyer.create.staticCall({ ...order, deadline: 1 }, order.price, { value: order.price }))
    expect(late.code).toBe('DEADLINE_OUT_OF_RANGE')
    expect(await refusal(asSeller.settle.staticCall(order, 0, '0x'))).toMatchObject({
      code: 'ORDER_NOT_FOUND',
      details: { id: trade.id(order) },
    })
  })
})

describe('paying', () => {
  it('by voucher: redeem, settle, and the rest goes back', async () => {
    const order = await create()
    const first = await trade.ack(session, order, MIB / 4)
    const redeemed = await gain(seller.address, () => mined(asStranger.redeem(order, MIB / 4, first)))
    expect(redeemed).toBe(250_000n)
    const voucher = await trade.ack(buyer, order, MIB / 2)
    const refunded = await gain(buyer.address, () => mined(asSeller.settle(order, MIB / 2, voucher)))
    expect(refunded).toBe(500_000n)
    const { paid, state } = await devnet.contracts.dataTrade.account(trade.id(order))
    expect([paid, orderStates[Number(state)]]).toEqual([500_000n, 'settled'])
    expect((await refusal(asSeller.settle.staticCall(order, MIB, await trade.ack(buyer, order, MIB)))).code).toBe('ORDER_ALREADY_FINISHED')
  })

  it('by vouchers that a key of this library signs', async () => {
    const secret = randomBytes(32)
    const key = keyFromSecret(secret)
    const order = await create({ ackSigner: key.address })
    const digests = dataTradeDigests(dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade))
    const signature = toHex(key.sign(digests.Ack({ orderId: trade.id(order), transferred: MIB })))
    expect(await gain(seller.address, () => mined(asStranger.settle(order, MIB, signature)))).toBe(order.price)
  })

  it('by counts on chain', async () => {
    const order = await create()
    await mined(asBuyer.updateTransferred(trade.id(order), 1000))
    await mined(asBuyer.updateTransferred(trade.id(order), MIB / 2))
    expect((await refusal(asBuyer.updateTransferred.staticCall(trade.id(order), 1000))).code).toBe('TRANSFERRED_NOT_INCREASED')
    expect(await gain(seller.address, () => mined(asStranger.redeem(order, 0, '0x')))).toBe(500_000n)
    await mined(asSeller.settle(order, 0, '0x'))
    expect((await devnet.contracts.dataTrade.orders(trade.id(order))).data_transfered).toBe(BigInt(MIB / 2))
  })

  it('in a batch that a front-runner has cut into', async () => {
    const batch: { order: Order; transferred: number; signature: string }[] = []
    for (let i = 0; i < 3; i++) {
      const order = await create()
      batch.push({ order, transferred: MIB, signature: await trade.ack(session, order, MIB) })
    }
    await mined(asStranger.settle(batch[1]!.order, MIB, batch[1]!.signature))
    expect(await gain(seller.address, () => mined(asStranger.settleBatch(batch)))).toBe(2_000_000n)
  })

  it('ends by itself: the buyer asks for its money and gets it after the grace', async () => {
    const order = await create()
    await mined(asBuyer.requestClose(order))
    const closeAt = BigInt((await devnet.time()) + 900)
    expect(await refusal(asBuyer.settle.staticCall(order, 0, '0x'))).toMatchObject({ code: 'SETTLE_TOO_EARLY', details: { opensAt: closeAt } })
    expect(await devnet.contracts.dataTrade.overdue([trade.id(order)])).toEqual([false])
    await devnet.increaseTime(900)
    expect(await devnet.contracts.dataTrade.overdue([trade.id(order)])).toEqual([true])
    expect(await gain(buyer.address, () => mined(asStranger.settle(order, 0, '0x')))).toBe(order.price)
  })

  it('names who should have signed', async () => {
    const order = await create()
    const error = await refusal(asSeller.redeem.staticCall(order, MIB, await trade.ack(seller, order, MIB)))
    expect(error).toMatchObject({
      code: 'ACK_NOT_SIGNED_BY_BUYER',
      details: { signer: seller.address, buyer: buyer.address, ackSigner: session.address },
    })
  })
})

describe('disputes', () => {
  it('agree with the Merkle trees of this library', async () => {
    for (const size of [1, 2, 3, 6, 11]) {
      const leaves = Array.from({ length: size }, (_, i) => leafHash(utf8(`chunk ${i}`)))
      const tree = createMerkleTree(leaves)
      const order = await create({ chunks: size, dataRoot: toHex(tree.root) })
      const call = async (index: number, leaf: Hex, proof: readonly Hex[]): Promise<void> =>
        asBuyer.dispute.staticCall(order, index, leaf, [...proof], await trade.claim(seller, order, index, leaf, proof))
      for (let index = 0; index < size; index++) {
        const packed = toHex(tree.proof(index))
        const proof = (packed.slice(2).match(/.{64}/g) ?? []).map((node): Hex => `0x${node}`)
        expect((await refusal(call(index, toHex(leaves[index]!), proof))).code).toBe('CHUNK_IS_GENUINE')
        await call(index, toHex(leafHash(utf8('garbage'))), proof)
        await call(index + size, toHex(leaves[index]!), proof)
        await call(index, toHex(leaves[index]!), [...proof, toHex(tree.root)])
      }
    }
  })

  it('give the buyer what was not paid yet', async () => {
    const order = await create({ chunks: 4, dataRoot: toHex(randomBytes(32)) })
    await mined(asSeller.redeem(order, MIB / 4, await trade.ack(session, order, MIB / 4)))
    const proof = [toBeHex(1, 32), toBeHex(2, 32)]
    const claim = await trade.claim(seller, order, 2, toBeHex(3, 32), proof)
    expect(await gain(buyer.address, () => mined(asStranger.dispute(order, 2, toBeHex(3, 32), proof, claim)))).toBe(750_000n)
    const late = await trade.ack(session, order, MIB)
    expect((await refusal(asSeller.settle.staticCall(order, MIB, late))).code).toBe('ORDER_ALREADY_FINISHED')
  })
})

describe('ratings', () => {
  it('count for finished orders, by what was paid', async () => {
    const order = await create()
    expect((await refusal(asBuyer.rate.staticCall(order, 5, ZeroHash, '0x'))).code).toBe('ORDER_NOT_FINISHED')
    await mined(asSeller.settle(order, MIB, await trade.ack(session, order, MIB)))
    const before = await devnet.contracts.dataTrade.reputation(seller.address, ZeroAddress)
    await mined(asStranger.rate(order, 4, ZeroHash, await trade.rating(session, order, 4, ZeroHash)))
    const after = await devnet.contracts.dataTrade.reputation(seller.address, ZeroAddress)
    expect(after.weightedScore - before.weightedScore).toBe(4n * order.price)
    expect(after.weight - before.weight).toBe(order.price)
    expect(after.count - before.count).toBe(1n)
    expect((await refusal(asBuyer.rate.staticCall(order, 1, ZeroHash, '0x'))).code).toBe('ALREADY_RATED')
  })
})

describe('hostile tokens', () => {
  /** Deploys one, with a million for the buyer and the allowance. */
  async function token(name: 'SilentToken' | 'FalseToken' | 'FeeToken' | 'BlockingToken' | 'HookToken' | 'BurningToken'): Promise<{
    address: string
    call(method: string, ...args: unknown[]): Promise<void>
    balance(account: string): Promise<bigint>
  }> {
    const { abi, bytecode } = hostile[name]
    const deployed = await new ContractFactory(abi, bytecode, stranger).deploy()
    await deployed.deploymentTransaction()?.wait()
    const address = await deployed.getAddress()
    const contract = new Contract(address, abi, stranger)
    const call = (method: string, ...args: unknown[]): Promise<void> =>
      mined(contract[method]!(...args) as Promise<ContractTransactionResponse>)
    await call('mint', buyer.address, 1_000_000n)
    await mined((contract.connect(buyer) as Contract)['approve']!(devnet.deployment.dataTrade, MaxUint256) as Promise<ContractTransactionResponse>)
    return { address, call, balance: (account) => contract['balanceOf']!(account) as Promise<bigint> }
  }

  const half = async (order: Order): Promise<[Order, number, string]> => {
    return [order, MIB / 2, await trade.ack(session, order, MIB / 2)]
  }

  it('that return nothing are as good as any', async () => {
    const { address, balance } = await token('SilentToken')
    await mined(asSeller.settle(...(await half(await create({ token: address })))))
    expect([await balance(seller.address), await balance(buyer.address)]).toEqual([500_000n, 500_000n])
  })

  it('that charge a fee are refused', async () => {
    const { address } = await token('FeeToken')
    const error = await refusal(asBuyer.create.staticCall(trade.order({ token: address }), 1_000_000n))
    expect(error).toMatchObject({ code: 'TOKEN_TOOK_FEE', details: { received: 990_000n, expected: 1_000_000n } })
  })

  it('that return false leave a credit', async () => {
    const { address, call, balance } = await token('FalseToken')
    await call('refuse', true)
    expect((await refusal(asBuyer.create.staticCall(trade.order({ token: address }), 1_000_000n))).code).toBe('TOKEN_TRANSFER_FAILED')
    await call('refuse', false)
    const order = await create({ token: address })
    await call('refuse', true)
    await mined(asSeller.settle(...(await half(order))))
    expect(await devnet.contracts.dataTrade.credit(address, seller.address)).toBe(500_000n)
    expect((await refusal(asSeller.withdraw.staticCall(address, seller.address))).code).toBe('WITHDRAW_FAILED')
    await call('refuse', false)
    await mined(asSeller.withdraw(address, stranger.address))
    expect(await balance(stranger.address)).toBe(500_000n)
    expect((await refusal(asSeller.withdraw.staticCall(address, seller.address))).code).toBe('NOTHING_TO_WITHDRAW')
  })

  it('that block one side still pay the other', async () => {
    const { address, call, balance } = await token('BlockingToken')
    const order = await create({ token: address })
    await call('setBlocked', buyer.address, true)
    await mined(asSeller.settle(...(await half(order))))
    expect(await balance(seller.address)).toBe(500_000n)
    expect(await devnet.contracts.dataTrade.credit(address, buyer.address)).toBe(500_000n)
  })

  it('that call back are refused', async () => {
    const { address, call } = await token('HookToken')
    const inner = trade.order({ token: address })
    await call('arm', devnet.deployment.dataTrade, dataTradeInterface.encodeFunctionData('topUp', [inner, 1]))
    const order = await create({ token: address })
    const contract = new Contract(address, hostile.HookToken.abi, stranger)
    expect(await contract['hookSucceeded']!()).toBe(false)
    expect(revertError((await contract['hookAnswer']!()) as string, [dataTradeInterface]).code).toBe('REENTERED')
    expect((await devnet.contracts.dataTrade.account(trade.id(order))).deposit).toBe(1_000_000n)
  })

  it('that burn gas cost a bounded amount', async () => {
    const { address, call } = await token('BurningToken')
    const order = await create({ token: address })
    await call('burn', true)
    const receipt = await (await asSeller.settle(...(await half(order)))).wait()
    expect(receipt!.gasUsed).toBeLessThan(350_000n)
    expect(await devnet.contracts.dataTrade.credit(address, seller.address)).toBe(500_000n)
  })
})

describe('hostile receivers', () => {
  it.each([
    ['reverts', 1],
    ['burns its gas', 2],
    ['returns a lot', 3],
  ])('that %s can neither stop a settlement nor lose the money', async (_, mode) => {
    const { abi, bytecode } = hostile.Receiver
    const deployed = await new ContractFactory(abi, bytecode, stranger).deploy(mode)
    await deployed.deploymentTransaction()?.wait()
    const address = await deployed.getAddress()
    const receiver = new Contract(address, abi, stranger)
    const order = await create({ seller: address })
    const receipt = await (await asStranger.settle(order, MIB, await trade.ack(session, order, MIB))).wait()
    expect(receipt!.gasUsed).toBeLessThan(140_000n)
    expect(await devnet.contracts.dataTrade.credit(ZeroAddress, address)).toBe(order.price)
    const withdraw = dataTradeInterface.encodeFunctionData('withdraw', [ZeroAddress, seller.address])
    const execute = (): Promise<void> =>
      mined(receiver['execute']!(devnet.deployment.dataTrade, withdraw) as Promise<ContractTransactionResponse>)
    expect(await gain(seller.address, execute)).toBe(order.price)
  })
})
