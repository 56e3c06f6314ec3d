import { Contract, ContractFactory, MaxUint256, parseEther, ZeroAddress, type ContractTransactionResponse } from 'ethers'
import type { Order } from '../../src/contracts/order.ts'
import { DATA_SERVICE } from '../../src/contracts/registry.ts'
import type { TestToken } from '../../src/testing/generated/types/TestToken.ts'
import type { Devnet } from '../../src/testing/devnet.ts'
import hostile from '../../test/fixtures/contracts/hostile.json' with { type: 'json' }
import { createTrade } from '../../test/fixtures/contracts/trade.ts'
import { createRows, hash, NOW, run, type Row } from './row.ts'

const GIB = 2 ** 30

/** Measures the order contract and the registry, in an order that leaves storage and balances as they are in the long run. */
export async function measureDataTrade(chain: Devnet): Promise<Row[]> {
  const { accounts, contracts, deployment, provider } = chain
  const [buyer, seller, sessionKey, stranger] = accounts
  if (!buyer || !seller || !sessionKey || !stranger) throw new Error('four accounts are needed')
  const trade = createTrade(chain, NOW)
  const asBuyer = contracts.dataTrade.connect(buyer)
  const asSeller = contracts.dataTrade.connect(seller)
  const asStranger = contracts.dataTrade.connect(stranger)

  const { rows, note } = createRows('DataTrade')
  const terms = (over: Partial<Order> = {}): Order =>
    trade.order({
      ackSigner: sessionKey.address,
      price: parseEther('0.01'),
      totalData: GIB,
      chunks: GIB / 65_536,
      dataRoot: hash(0),
      ...over,
    })
  const create = (order: Order, deposit = order.price): Promise<number> =>
    run(asBuyer.create(order, deposit, { value: order.token === ZeroAddress ? deposit : 0n }))
  const created = async (over: Partial<Order> = {}): Promise<Order> => {
    const order = terms(over)
    await create(order)
    return order
  }
  const voucher = async (order: Order, count: number): Promise<[Order, number, string]> => {
    return [order, count, await trade.ack(sessionKey, order, count)]
  }
  const settled = async (over: Partial<Order> = {}): Promise<Order> => {
    const order = await created(over)
    await run(asSeller.settle(...(await voucher(order, GIB))))
    return order
  }

  // Deployment
  for (const [contract, block] of [['DataTrade', deployment.fromBlock], ['Registry', deployment.fromBlock + 1]] as const) {
    const hash = (await provider.getBlock(block))?.transactions[0]
    const receipt = hash === undefined ? null : await provider.getTransactionReceipt(hash)
    if (!receipt) throw new Error(`no deployment of ${contract} in block ${block}`)
    note('deploy', Number(receipt.gasUsed), contract === 'DataTrade' ? { name: 'DDM contract', gas: 797_000 } : null, 1, contract)
  }

  // Creating
  const live = terms({ chunks: 0, dataRoot: hash(0, true) })
  note('create, ETH, without root', await create(live), { name: 'probe contract, without root', gas: 92_300 })
  const rooted = terms()
  const createGas = await create(rooted)
  note('create, ETH', createGas, { name: 'probe contract, with root', gas: 114_800 })
  const token = await chain.deployToken()
  await fund(token)
  const tokenAddress = await token.getAddress()
  await created({ token: tokenAddress }) // the first one pays for the contract's balance slot
  const inToken = terms({ token: tokenAddress })
  note('create, ERC-20', await create(inToken), { name: 'Tempo channel open, ERC-20', gas: 154_000 })
  const partly = terms()
  await create(partly, partly.price / 2n)
  const rest = partly.price - partly.price / 2n
  note('topUp, ETH', await run(asBuyer.topUp(partly, rest, { value: rest })), { name: 'Tempo channel top-up, ERC-20', gas: 55_000 })

  // Paying
  note('updateTransferred, first', await run(asBuyer.updateTransferred(trade.id(live), 65_536)), { name: 'DDM increase, first', gas: 50_700 })
  note('updateTransferred', await run(asBuyer.updateTransferred(trade.id(live), 131_072)), { name: 'DDM increase', gas: 33_600 })
  note('redeem', await run(asSeller.redeem(...(await voucher(rooted, GIB / 4)))), { name: 'Tempo channel settle', gas: 60_400 })

  // Settling
  note('settle, recorded count', await run(asSeller.settle(live, 0, '0x')), { name: 'probe contract', gas: 66_000 })
  const settleGas = await run(asSeller.settle(...(await voucher(await created(), GIB))))
  const uRaiden = { name: 'uRaiden cooperative close', gas: 71_200 }
  note('settle, voucher, all bytes', settleGas, uRaiden)
  note('settle, voucher, half of the bytes', await run(asSeller.settle(...(await voucher(await created(), GIB / 2)))), { name: 'probe contract', gas: 84_400 })
  note('settle, voucher, all bytes, ERC-20', await run(asSeller.settle(...(await voucher(inToken, GIB)))), uRaiden)
  for (const [what, count] of [['all bytes', GIB], ['half of the bytes', GIB / 2]] as const) {
    const batch = []
    for (let i = 0; i < 10; i++) {
      const [order, transferred, signature] = await voucher(await created(), count)
      batch.push({ order, transferred, signature })
    }
    note(`settleBatch of 10, ${what}`, await run(asSeller.settleBatch(batch)), { name: 'probe contract, batch of 10', gas: 55_900 }, 10)
  }

  // Ending in other ways
  note('requestClose', await run(asBuyer.requestClose(partly)), { name: 'Tempo channel requestClose', gas: 32_000 })
  for (const [depth, gas] of [[4, 75_800], [10, 80_800], [14, 84_100], [20, 89_100]] as const) {
    const order = await created({ chunks: 2 ** depth })
    const index = 2 ** (depth - 1) + 1
    const proof = Array.from({ length: depth }, (_, level) => hash(100 + level))
    const claim = await trade.claim(seller, order, index, hash(1), proof)
    note(`dispute, depth ${depth}`, await run(asBuyer.dispute(order, index, hash(1), proof, claim)), { name: `probe contract, depth ${depth}`, gas })
  }

  // After the end
  note('rate, the first of an account', await run(asBuyer.rate(await settled(), 5, hash(2), '0x')))
  note('rate', await run(asBuyer.rate(await settled(), 5, hash(2), '0x')))
  const rated = await settled()
  note('rate, for another', await run(asStranger.rate(rated, 5, hash(2), await trade.rating(sessionKey, rated, 5, hash(2)))))
  const { abi, bytecode } = hostile.BlockingToken
  const blocking = await new ContractFactory(abi, bytecode, stranger).deploy()
  await blocking.deploymentTransaction()?.wait()
  const blockingAddress = await blocking.getAddress()
  const issuer = new Contract(blockingAddress, abi, stranger)
  const setBlocked = (yes: boolean): Promise<number> =>
    run(issuer['setBlocked']!(seller.address, yes) as Promise<ContractTransactionResponse>)
  await fund(new Contract(blockingAddress, abi, provider) as unknown as TestToken)
  await setBlocked(true)
  await settled({ token: blockingAddress })
  await setBlocked(false)
  note('withdraw, ERC-20', await run(asSeller.withdraw(blockingAddress, seller.address)))

  // Registry
  const registry = contracts.registry.connect(seller)
  note('register', await run(registry.register(DATA_SERVICE, 'wss://seller.example:8443', seller.signingKey.publicKey, hash(3))), null, 1, 'Registry')
  await chain.increaseTime(60) // within the same second, the time of the change is no change
  note('update', await run(registry.update(DATA_SERVICE, 'wss://seller.example:9443', hash(4))), null, 1, 'Registry')
  note('withdraw', await run(registry.withdraw(DATA_SERVICE)), null, 1, 'Registry')

  note('1 GiB in 64 KiB chunks by voucher: create and settle', createGas + settleGas, { name: 'DDM, a transaction per chunk', gas: 546_000_000 })
  return rows

  /** Gives the buyer money, and the seller a balance slot that is in use. */
  async function fund(token: TestToken): Promise<void> {
    await run(token.connect(buyer).mint(buyer!.address, parseEther('1000')))
    await run(token.connect(buyer).mint(seller!.address, 1n))
    await run(token.connect(buyer).approve(deployment.dataTrade, MaxUint256))
  }
}
