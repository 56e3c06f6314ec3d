import { parseEther, Wallet } from 'ethers'
import { beforeAll, beforeEach, expect, it } from 'vitest'
import { startChain, type ChainView, type ModelChain } from './chain.ts'
import { createDraws, seedProcess } from './seeded.ts'
import { createSteppedClock } from './steppedClock.ts'

const to = `0x${'11'.repeat(20)}`
let chain: ModelChain
let view: ChainView
let wallet: Wallet
let restore: () => Promise<void>
beforeAll(async () => {
  chain = await startChain()
  view = chain.view()
  wallet = new Wallet(`0x${'22'.repeat(32)}`, view.provider)
  await chain.send('hardhat_setBalance', [wallet.address, `0x${parseEther('1').toString(16)}`])
  await chain.mine(chain.time + 10)
  restore = await chain.mark()
})
beforeEach(() => restore())

it('makes blocks when it is told to, of the time that it is told', async () => {
  const { hash } = await wallet.sendTransaction({ to, value: 5n })
  expect(await view.provider.getTransactionReceipt(hash)).toBeNull()
  const time = chain.time
  await chain.mine(time + 77)
  expect(chain.time).toBe(time + 77)
  expect(await view.provider.getTransactionReceipt(hash)).toMatchObject({ blockNumber: chain.head, status: 1 })
  expect(await view.provider.getBalance(to)).toBe(5n)
  expect(await view.provider.getBalance(wallet.address)).toBe(parseEther('1') - 5n) // its gas is free
  expect(chain.spentBy(wallet.address)).toEqual({ gas: 21_000n, wei: 0n })
})

it('replaces blocks, with what was in them or without', async () => {
  const { hash } = await wallet.sendTransaction({ to, value: 5n })
  await chain.mine(chain.time + 10)
  const [head, { hash: before }] = [chain.head, (await view.provider.getBlock('latest'))!]
  await chain.reorg(1)
  expect(chain.head).toBe(head)
  expect((await view.provider.getBlock('latest'))!.hash).not.toBe(before)
  expect(await view.provider.getTransactionReceipt(hash)).not.toBeNull()
  await chain.reorg(1, (each) => each.hash === hash)
  expect(await view.provider.getTransactionReceipt(hash)).toBeNull()
  expect(await view.provider.getBalance(to)).toBe(0n)
})

it('goes back to a mark as often as is wanted', async () => {
  for (let i = 0; i < 3; i++) {
    await wallet.sendTransaction({ to, value: 5n })
    await chain.mine(chain.time + 10)
    expect(await view.provider.getBalance(to)).toBe(5n)
    await restore()
    expect(await view.provider.getBalance(to)).toBe(0n)
    expect(await view.provider.getTransactionCount(wallet.address)).toBe(0)
  }
})

it('lets one view hang while others see', async () => {
  view.hung = true
  let seen: number | undefined
  const asking = view.provider.getBlockNumber().then((number) => (seen = number))
  await chain.mine(chain.time + 10)
  await chain.idle()
  expect(seen).toBeUndefined()
  expect(await chain.view().provider.getBlockNumber()).toBe(chain.head)
  view.hung = false
  await asking
  expect(seen).toBe(chain.head)
})

it('says why a transaction is not taken, as nodes do', async () => {
  await expect(wallet.sendTransaction({ to, value: parseEther('2') })).rejects.toThrow(/enough funds/)
  await chain.setGasLimit(100_000)
  await chain.mine(chain.time + 10)
  await expect(wallet.sendTransaction({ to, gasLimit: 100_001n })).rejects.toThrow(/gas limit/)
})

it('wakes sleeps in steps, and waits until all is quiet', async () => {
  const clock = createSteppedClock(1_000, () => chain.idle())
  const woken: string[] = []
  const sleeper = async (): Promise<void> => {
    await clock.sleep(5)
    woken.push(`a ${clock.now()}`)
    woken.push(`block ${await view.provider.getBlockNumber()}`)
    await clock.sleep(0)
    woken.push('again')
  }
  void sleeper()
  void clock.sleep(3).then(() => woken.push('b'))
  void clock.sleep(11).then(() => woken.push('too late'))
  await clock.step(10)
  expect(woken).toEqual(['b', 'a 1010', `block ${chain.head}`, 'again'])
  expect(clock.sleeping).toBe(1)
})

it('repeats choices, and the randomness of the platform, by a seed', () => {
  const three = (seed: number): number[] => Array.from({ length: 3 }, () => createDraws(seed).between(0, 1_000_000))
  expect(three(7)).toEqual(three(7))
  expect(three(7)).not.toEqual(three(8))
  const draw = (): [number, string] => {
    const undo = seedProcess(9)
    try {
      return [Math.random(), crypto.getRandomValues(new Uint8Array(8)).join()]
    } finally {
      undo()
    }
  }
  expect(draw()).toEqual(draw())
  expect(crypto.getRandomValues(new Uint8Array(8)).join()).not.toBe(draw()[1])
})
