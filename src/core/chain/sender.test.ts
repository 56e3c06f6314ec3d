import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type HDNodeWallet, id, JsonRpcProvider, type JsonRpcSigner, Network, parseEther, Transaction, Wallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { registryInterface } from '../../contracts/registry.ts'
import { type Devnet, startDevnet } from '../../testing/devnet.ts'
import { type RpcProxy, startRpcProxy } from '../../testing/rpcProxy.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { memoryStore } from '../store/memoryStore.ts'
import { openLevelStore } from '../store/openLevelStore.ts'
import type { Store } from '../store/store.ts'
import { createSender, type Sender, type SenderOptions } from './sender.ts'

let devnet: Devnet
let proxy: RpcProxy
let provider: JsonRpcProvider
const cleanup: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 60 })
  proxy = await startRpcProxy(devnet.url)
  provider = new JsonRpcProvider(proxy.url, 31337, { staticNetwork: true })
})

afterEach(async () => {
  proxy.rule()
  for (const clean of cleanup.splice(0).reverse()) await clean()
  await devnet.setAutomine(true)
  await devnet.provider.send('anvil_dropAllTransactions', [])
  await devnet.provider.send('anvil_setNextBlockBaseFeePerGas', ['0x3b9aca00'])
  await devnet.mine()
})

afterAll(async () => {
  provider.destroy()
  await proxy.stop()
  await devnet.stop()
})

let next = 0
/** An account that no other test has used. */
function freshWallet(): Wallet {
  return new Wallet((devnet.accounts[next++] as HDNodeWallet).privateKey, provider)
}

async function open(options: Partial<SenderOptions> = {}): Promise<Sender> {
  const sender = await createSender({
    signer: options.signer ?? freshWallet(),
    interfaces: [registryInterface],
    pollInterval: 20,
    rpcTimeout: 2000,
    ...options,
  })
  cleanup.push(() => sender.close())
  return sender
}

const payee = '0x00000000000000000000000000000000000a11ce'
const pay = (value = 1n) => ({ to: payee, value })
const noRegistration = () => ({
  to: devnet.deployment.registry,
  data: registryInterface.encodeFunctionData('withdraw', [id('none')]),
})

function registration(wallet: Wallet, service = 'test') {
  const publicKey = wallet.signingKey.publicKey
  const data = registryInterface.encodeFunctionData('register', [id(service), 'ws://127.0.0.1', publicKey, id('menu')])
  return { to: devnet.deployment.registry, data }
}

async function failure(promise: Promise<unknown>): Promise<SluiceError> {
  const error: unknown = await promise.then(
    (value) => expect.fail(`did not fail but gave ${String(value)}`),
    (error: unknown) => error,
  )
  if (!isSluiceError(error)) throw error
  return error
}

/** The promise of the next raw transaction that the node is asked to take, and how that request ends. */
function onBroadcast(fault: (n: number) => 'cut' | 'hang' | 'lose' | undefined): string[] {
  const seen: string[] = []
  proxy.rule((method, params) => {
    if (method !== 'eth_sendRawTransaction') return undefined
    seen.push(Transaction.from(params[0] as string).hash!)
    return fault(seen.length)
  })
  return seen
}

/** Waits until the node has so many transactions of an account, mined or not. */
async function taken({ address }: Sender, count: number): Promise<void> {
  await until(async () => (await devnet.provider.getTransactionCount(address, 'pending')) === count)
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(check: () => unknown, ms = 10_000): Promise<void> {
  for (const end = Date.now() + ms; !(await check()); await pause(10)) {
    if (Date.now() > end) expect.fail(`waited too long for ${check.toString()}`)
  }
}

describe('sending', () => {
  it('lands fifty concurrent transactions of one account without a gap', async () => {
    const wallet = freshWallet()
    const [sender, twin] = [await open({ signer: wallet }), await open({ signer: new Wallet(wallet.privateKey, provider) })]
    const before = await devnet.provider.getBalance(payee)
    const receipts = await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? twin : sender).send(pay(BigInt(i)))))
    expect(receipts.map(({ nonce }) => nonce).sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect((await devnet.provider.getBalance(payee)) - before).toBe(1225n)
    expect(sender.pending()).toEqual([])
  })

  it('gives receipt, logs and the hash it announced', async () => {
    const wallet = freshWallet()
    const sender = await open({ signer: wallet })
    const announced: string[] = []
    const receipt = await sender.send(registration(wallet), { onSent: (hash) => announced.push(hash) })
    expect(announced).toEqual([receipt.hash])
    const onChain = (await devnet.provider.getTransactionReceipt(receipt.hash))!
    expect(receipt).toMatchObject({
      nonce: 0,
      blockHash: onChain.blockHash,
      gasUsed: onChain.gasUsed,
      fee: onChain.fee,
    })
    expect(registryInterface.parseLog(receipt.logs[0]!)?.name).toBe('Registered')
    expect(await sender.outcome(receipt.hash)).toBe('mined')
  })

  it('does not care about an onSent that throws', async () => {
    const sender = await open()
    await sender.send(pay(), {
      onSent: () => {
        throw new Error('no')
      },
    })
  })

  it('waits for confirmations', async () => {
    const sender = await open({ confirmations: 3 })
    let done = false
    const sent = sender.send(pay()).then((receipt) => {
      done = true
      return receipt
    })
    await taken(sender, 1)
    await until(async () => (await devnet.provider.getTransactionReceipt(sender.pending()[0]!.hashes[0]!)) !== null)
    await devnet.mine(1)
    await pause(150)
    expect(done).toBe(false)
    await devnet.mine(1)
    const receipt = await sent
    expect(await devnet.provider.getBlockNumber()).toBe(receipt.blockNumber + 2)
  })

  it('takes the nonce up again after a transaction that was not taken', async () => {
    const entries = new Map<string, Uint8Array>()
    const sender = await open({ store: memoryStore(entries) })
    let refuse = true
    proxy.rule((method) => {
      if (method !== 'eth_sendRawTransaction' || !refuse) return undefined
      refuse = false
      return { error: { code: -32000, message: 'invalid sender' } }
    })
    const error = await failure(sender.send(pay()))
    expect(error.code).toBe('RPC_FAILED')
    expect(sender.pending()).toEqual([])
    expect(entries.size).toBe(0) // or the next start would send it
    expect((await sender.send(pay())).nonce).toBe(0)
  })

  it('counts for itself where the node does not count what is pending', async () => {
    const sender = await open()
    await devnet.setAutomine(false)
    proxy.rule(async (method, params) => {
      if (method !== 'eth_getTransactionCount' || params[1] !== 'pending') return undefined
      return { result: `0x${(await devnet.provider.getTransactionCount(sender.address, 'latest')).toString(16)}` }
    })
    const sends = [1n, 2n, 3n].map((value) => sender.send(pay(value)))
    await taken(sender, 3)
    await devnet.mine()
    expect((await Promise.all(sends)).map(({ nonce }) => nonce).sort()).toEqual([0, 1, 2])
  })

  it('goes on after foreign transactions of the account', async () => {
    const wallet = freshWallet()
    const sender = await open({ signer: wallet })
    await devnet.setAutomine(false)
    const first = sender.send(pay())
    await taken(sender, 1)
    const foreign = wallet.connect(devnet.provider)
    await foreign.sendTransaction({ to: payee, value: 5n, nonce: 1 })
    const second = sender.send(pay())
    await taken(sender, 3)
    await devnet.setAutomine(true)
    await devnet.mine()
    expect((await Promise.all([first, second])).map(({ nonce }) => nonce)).toEqual([0, 2])
  })

  it('refuses more than maxPending', async () => {
    await devnet.setAutomine(false)
    const sender = await open({ maxPending: 2 })
    const sends = [sender.send(pay()), sender.send(pay())]
    expect((await failure(sender.send(pay()))).code).toBe('OVERLOADED')
    await taken(sender, 2)
    await devnet.mine()
    await Promise.all(sends)
  })

  it('refuses a signer without provider and the wrong chain', async () => {
    expect((await failure(createSender({ signer: new Wallet(freshWallet().privateKey) }))).code).toBe('BAD_ARGUMENT')
    const error = await failure(createSender({ signer: freshWallet(), chainId: 1n }))
    expect(error.code).toBe('WRONG_CHAIN')
    expect(error.details).toEqual({ expected: 1n, actual: 31337n })
  })
})

describe('what goes wrong before a transaction leaves', () => {
  it('is a revert, with the contract’s own error', async () => {
    const sender = await open()
    const seen = onBroadcast(() => undefined)
    const error = await failure(sender.send(noRegistration()))
    expect(error.code).toBe('NOT_REGISTERED')
    expect(error.details).toMatchObject({ error: 'NotRegistered', service: id('none'), account: sender.address })
    expect(seen).toEqual([])
    expect(await devnet.provider.getTransactionCount(sender.address, 'pending')).toBe(0)
  })

  it('is too little money, and says how much is missing', async () => {
    const poor = Wallet.createRandom(provider)
    const sender = await open({ signer: poor as unknown as Wallet })
    await devnet.provider.send('anvil_setBalance', [poor.address, '0x64'])
    const seen = onBroadcast(() => undefined)
    const error = await failure(sender.send(pay(500n)))
    expect(error.code).toBe('INSUFFICIENT_FUNDS')
    expect(seen).toEqual([])
    const { missing, needed, balance } = error.details as Record<string, bigint>
    expect(balance).toBe(100n)
    expect(missing).toBe(needed! - 100n)
    expect(needed).toBeGreaterThan(500n + 21000n)
  })

  it('is too little money as the node sees it', async () => {
    const sender = await open()
    proxy.rule((method) =>
      method === 'eth_sendRawTransaction'
        ? { error: { code: -32000, message: 'insufficient funds for gas * price + value' } }
        : undefined,
    )
    expect((await failure(sender.send(pay()))).code).toBe('INSUFFICIENT_FUNDS')
    expect(sender.pending()).toEqual([])
  })

  it('is the deadline or the caller', async () => {
    const sender = await open()
    proxy.rule((method) => (method === 'eth_estimateGas' ? 'hang' : undefined))
    const late = await failure(sender.send(pay(), { timeout: 100, label: 'create order' }))
    expect(late.code).toBe('TIMEOUT')
    expect(late.shortMessage).toContain('create order')
    const stop = new AbortController()
    const sent = failure(sender.send(pay(), { signal: stop.signal }))
    await pause(50)
    stop.abort()
    expect((await sent).code).toBe('ABORTED')
    proxy.rule()
    expect((await sender.send(pay())).nonce).toBe(0)
  })

  it('is the node, which is asked again while that may help', async () => {
    const sender = await open()
    let cuts = 0
    proxy.rule((method) => (method === 'eth_estimateGas' && cuts++ < 2 ? 'cut' : undefined))
    await sender.send(pay())
    expect(cuts).toBe(3)
    proxy.rule((method) => (method === 'eth_estimateGas' ? { status: 401 } : undefined))
    const error = await failure(sender.send(pay(2n)))
    expect(error.code).toBe('RPC_FAILED')
    expect(error.details).toMatchObject({ status: 401 })
  })

  it('is known to have come to nothing, also when the caller has gone', async () => {
    const sender = await open()
    let refuse!: () => void
    const refused = new Promise<{ error: { code: number; message: string } }>(
      (resolve) => (refuse = () => resolve({ error: { code: -32000, message: 'invalid sender' } })),
    )
    proxy.rule((method) => (method === 'eth_sendRawTransaction' ? refused : undefined))
    const error = await failure(sender.send(pay(), { timeout: 200 }))
    expect(error.code).toBe('TRANSACTION_UNKNOWN')
    refuse()
    await until(() => sender.pending().length === 0)
    expect(await sender.outcome(error.details.hash as string)).toBe('dropped')
  })

  it('is tried again when it was refused but cannot be erased', async () => {
    const inner = memoryStore()
    const store: Store = {
      ...inner,
      write: (changes) =>
        changes[0]!.value ? inner.write(changes) : Promise.reject(new SluiceError('STORE_FAILED', 'disk gone')),
    }
    const sender = await open({ store })
    let refusals = 0
    proxy.rule((method) =>
      method === 'eth_sendRawTransaction' && refusals++ < 1
        ? { error: { code: -32000, message: 'invalid sender' } }
        : undefined,
    )
    const [first, second] = await Promise.all([sender.send(pay()), sender.send(pay())])
    expect([first.nonce, second.nonce]).toEqual([0, 1])
    expect(refusals).toBe(3)
  })

  it('is a store that has a sender of the account already', async () => {
    const signer = freshWallet()
    const store = memoryStore()
    const sender = await open({ signer, store })
    expect((await failure(createSender({ signer, store }))).code).toBe('STORE_LOCKED')
    await open({ signer, store: memoryStore() })
    await open({ store })
    await sender.close()
    await open({ signer, store })
  })

  it('is the store', async () => {
    const broken: Store = {
      ...memoryStore(),
      write: () => Promise.reject(new SluiceError('STORE_FAILED', 'disk full')),
    }
    const sender = await open({ store: broken })
    const seen = onBroadcast(() => undefined)
    expect((await failure(sender.send(pay()))).code).toBe('STORE_FAILED')
    expect(seen).toEqual([])
    expect(sender.pending()).toEqual([])
  })
})

describe('what goes wrong once it has left', () => {
  it('is sent again as it was when the node did not answer', async () => {
    const sender = await open()
    const seen = onBroadcast((n) => (n === 1 ? 'cut' : undefined))
    const { hash } = await sender.send(pay())
    expect(seen).toEqual([hash, hash])
  })

  it('is found mined when only the answer was lost', async () => {
    const sender = await open()
    const seen = onBroadcast((n) => (n === 1 ? 'lose' : undefined))
    const { hash, nonce } = await sender.send(pay())
    expect(nonce).toBe(0)
    expect(new Set(seen)).toEqual(new Set([hash]))
  })

  it('is unknown at the deadline, and can be found out', async () => {
    const sender = await open()
    const before = await devnet.provider.getBalance(payee)
    let cut = true
    onBroadcast(() => (cut ? 'cut' : undefined))
    const error = await failure(sender.send(pay(7n), { timeout: 300, label: 'pay' }))
    expect(error.code).toBe('TRANSACTION_UNKNOWN')
    const { hash, nonce } = error.details as { hash: string; nonce: number }
    expect(nonce).toBe(0)
    expect(await sender.outcome(hash)).toBe('pending')
    expect(sender.pending()).toEqual([{ hashes: [hash], nonce: 0, label: 'pay', key: undefined }])
    cut = false
    await until(async () => (await sender.outcome(hash)) === 'mined')
    await until(() => sender.pending().length === 0)
    expect((await devnet.provider.getBalance(payee)) - before).toBe(7n)
    proxy.rule(() => 'cut')
    await pause(300) // ethers keeps answers for a while
    expect(await sender.outcome(hash)).toBe('unknown')
    proxy.rule()
    expect(await sender.outcome(id('nothing'))).toBe('unknown')
  })

  it('is unknown to a caller who goes away or a sender that closes', async () => {
    await devnet.setAutomine(false)
    const sender = await open()
    const stop = new AbortController()
    const [gone, closed] = [failure(sender.send(pay(), { signal: stop.signal })), failure(sender.send(pay()))]
    await taken(sender, 2)
    stop.abort()
    expect((await gone).code).toBe('TRANSACTION_UNKNOWN')
    await sender.close()
    expect((await closed).code).toBe('TRANSACTION_UNKNOWN')
    expect((await failure(sender.send(pay()))).code).toBe('ABORTED')
  })

  it('is a revert on chain, with its reason', async () => {
    const wallet = freshWallet()
    const sender = await open({ signer: wallet })
    await devnet.setAutomine(false)
    const [first, second] = [
      sender.send(registration(wallet)),
      failure(sender.send(registration(wallet), { label: 'register' })),
    ]
    await taken(sender, 2)
    await devnet.mine()
    await first
    const error = await second
    expect(error.code).toBe('TRANSACTION_REVERTED')
    expect(error.details).toMatchObject({ reason: 'ALREADY_REGISTERED', account: wallet.address, nonce: 1 })
    expect(error.shortMessage).toContain('register')
    expect(await sender.outcome(error.details.hash as string)).toBe('reverted')
  })

  it('has its fee raised while it is stuck, and any of its hashes may be mined', async () => {
    const sender = await open({ stuckAfter: 200 })
    await devnet.setAutomine(false)
    const hashes: string[] = []
    const sent = sender.send(pay(), { onSent: (hash) => hashes.push(hash) })
    await until(() => hashes.length === 3)
    await devnet.mine()
    const receipt = await sent
    expect(hashes).toContain(receipt.hash)
    const [old, raised] = await Promise.all([0, 1].map((i) => rawOf(hashes[i]!)))
    expect(raised!.nonce).toBe(old!.nonce)
    for (const field of ['maxFeePerGas', 'maxPriorityFeePerGas'] as const) {
      expect(raised![field]! * 1000n).toBeGreaterThanOrEqual(old![field]! * 1125n)
    }
  })

  it('gets past a base fee that has risen above its offer', async () => {
    const sender = await open({ stuckAfter: 300 })
    await devnet.setAutomine(false)
    const sent = sender.send(pay())
    await taken(sender, 1)
    const first = sender.pending()[0]!.hashes[0]!
    await devnet.provider.send('anvil_setNextBlockBaseFeePerGas', ['0x2540be400']) // 10 gwei
    await devnet.mine()
    expect(await devnet.provider.getTransactionReceipt(first)).toBeNull()
    await until(async () => ((await rawOf(sender.pending()[0]!.hashes.at(-1)!))?.maxFeePerGas ?? 0n) > 10n ** 10n)
    await devnet.mine()
    expect((await sent).hash).not.toBe(first)
  })

  it('never offers more than the ceiling, and raises at most maxBumps times', async () => {
    await devnet.setAutomine(false)
    await pause(300) // ethers remembers the fees of the test before for 250 ms
    const { maxFeePerGas } = await devnet.provider.getFeeData()
    const ceiling = (maxFeePerGas! * 13n) / 10n
    const [capped, bounded] = [
      await open({ stuckAfter: 50, maxFeePerGas: ceiling }),
      await open({ stuckAfter: 50, maxBumps: 1 }),
    ]
    const sends = [capped.send(pay()), bounded.send(pay())]
    await until(() => capped.pending()[0]?.hashes.length === 3 && bounded.pending()[0]?.hashes.length === 2)
    await pause(500)
    expect(capped.pending()[0]!.hashes.length).toBe(3)
    expect(bounded.pending()[0]!.hashes.length).toBe(2)
    for (const hash of capped.pending()[0]!.hashes) expect((await rawOf(hash))!.maxFeePerGas).toBeLessThanOrEqual(ceiling)
    await devnet.mine()
    await Promise.all(sends)
  })

  it('is sent again when a reorganisation undoes it before it is deep enough', async () => {
    const sender = await open({ confirmations: 3 })
    const seen = onBroadcast(() => undefined)
    const sent = sender.send(pay())
    await until(async () => (await sender.outcome(sender.pending()[0]?.hashes[0] ?? id(''))) === 'mined')
    const first = (await devnet.provider.getTransactionReceipt(sender.pending()[0]!.hashes[0]!))!
    await pause(100) // seen in its block
    await devnet.reorg(1)
    expect(await devnet.provider.getTransactionReceipt(first.hash)).toBeNull()
    await until(() => seen.length === 2)
    await devnet.mine(3)
    const receipt = await sent
    expect(receipt.hash).toBe(first.hash)
    expect(receipt.blockHash).not.toBe(first.blockHash)
  })

  it('is mined although what came before it is lost for good', async () => {
    const wallet = freshWallet()
    const sender = await open({ signer: wallet, stuckAfter: 300 })
    await sender.send(pay())
    await devnet.setAutomine(false)
    const second = sender.send(pay(2n))
    await expect.poll(() => sender.pending()).toHaveLength(1)
    await devnet.reorg(1)
    expect(await provider.getTransactionCount(wallet.address)).toBe(0)
    await devnet.setAutomine(true)
    const mining = setInterval(() => void devnet.mine(), 100)
    cleanup.push(() => clearInterval(mining))
    expect(await second).toMatchObject({ nonce: 1 })
    expect(await provider.getTransactionCount(wallet.address)).toBe(2)
  })

  it('is replaced when another transaction takes its nonce', async () => {
    const wallet = freshWallet()
    const sender = await open({ signer: wallet, confirmations: 2 })
    await devnet.setAutomine(false)
    const sent = failure(sender.send(pay(3n)))
    await taken(sender, 1)
    const fees = { maxFeePerGas: parseEther('0.000001'), maxPriorityFeePerGas: parseEther('0.0000005') }
    const foreign = await wallet.connect(devnet.provider).sendTransaction({ to: wallet.address, nonce: 0, ...fees })
    await devnet.mine()
    const ours = sender.pending()[0]!.hashes[0]!
    expect(await sender.outcome(ours)).toBe('replaced')
    await pause(200)
    expect(sender.pending().length).toBe(1) // not deep enough to be sure
    await devnet.mine()
    const error = await sent
    expect(error.code).toBe('TRANSACTION_REPLACED')
    expect(error.details).toMatchObject({ hash: ours, by: foreign.hash, nonce: 0 })
    expect(await sender.outcome(ours)).toBe('replaced')
    expect(sender.pending()).toEqual([])
  })
})

/** A transaction as the node has it, or as it went over the proxy. */
async function rawOf(hash: string): Promise<Transaction | undefined> {
  return proxy.requests
    .filter(({ method }) => method === 'eth_sendRawTransaction')
    .map(({ params }) => Transaction.from(params[0] as string))
    .find((transaction) => transaction.hash === hash)
}

describe('across restarts', () => {
  it('sends the very transaction again that was stored before kill -9', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-sender-'))
    cleanup.push(() => rm(folder, { recursive: true }))
    const wallet = freshWallet()
    let stored!: (hash: string) => void
    const reached = new Promise<string>((resolve) => (stored = resolve))
    proxy.rule((method, params) => {
      if (method !== 'eth_sendRawTransaction') return undefined
      stored(Transaction.from(params[0] as string).hash!)
      return 'hang'
    })
    const program = `
      import { JsonRpcProvider, Wallet } from 'ethers'
      import { createSender } from '${new URL('./sender.ts', import.meta.url).href}'
      import { openLevelStore } from '${new URL('../store/openLevelStore.ts', import.meta.url).href}'
      const signer = new Wallet('${wallet.privateKey}', new JsonRpcProvider('${proxy.url}', 31337, { staticNetwork: true }))
      const sender = await createSender({ signer, store: await openLevelStore('${folder}') })
      await sender.send({ to: '${payee}', value: 11n }, { key: 'order 1', label: 'create order' })
    `
    const child = spawn(
      process.execPath,
      ['--conditions=@sluice/source', '--import', 'tsx', '--input-type=module', '-e', program],
      {
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    )
    const ended = new Promise((resolve) => child.once('exit', resolve))
    const hash = await reached
    child.kill('SIGKILL')
    await ended
    expect(await devnet.provider.getTransaction(hash)).toBeNull()

    const before = await devnet.provider.getBalance(payee)
    const store = await openLevelStore(folder)
    cleanup.push(() => store.close())
    const seen = onBroadcast(() => undefined)
    const sender = await open({ signer: wallet, store })
    expect(sender.find('order 1')).toEqual({ hash, done: false })
    expect(sender.pending()).toEqual([{ hashes: [hash], nonce: 0, label: 'create order', key: 'order 1' }])
    const [again, other] = await Promise.all([sender.send(pay(11n), { key: 'order 1' }), sender.send(pay(100n))])
    expect(again.hash).toBe(hash)
    expect(other.nonce).toBe(1)
    expect(seen.filter((sent) => sent === hash).length).toBe(1)
    expect((await devnet.provider.getBalance(payee)) - before).toBe(111n)
  })

  it('hands nothing to the node that is not stored yet', async () => {
    await devnet.setAutomine(false)
    const inner = memoryStore()
    let slow = false
    let stored = false
    const store: Store = {
      ...inner,
      async write(changes) {
        await pause(slow ? 200 : 0)
        await inner.write(changes)
        stored = slow
      },
    }
    const sender = await open({ store })
    const first = sender.send(pay())
    await taken(sender, 1) // from now on the sender looks after it, every 20 ms
    slow = true
    const atBroadcast: boolean[] = []
    onBroadcast(() => void atBroadcast.push(stored))
    const second = sender.send(pay())
    await taken(sender, 2)
    expect(atBroadcast).toEqual([true])
    await devnet.mine()
    await Promise.all([first, second])
  })

  it('makes one transaction for a key, and remembers its end until told to forget', async () => {
    const entries = new Map<string, Uint8Array>()
    const wallet = freshWallet()
    const store = memoryStore(entries)
    const sender = await open({ signer: wallet, store })
    const [first, second] = await Promise.all([sender.send(pay(), { key: 'k' }), sender.send(pay(), { key: 'k' })])
    expect(second).toEqual(first)
    expect((await failure(sender.send(pay(2n), { key: 'k' }))).code).toBe('BAD_ARGUMENT')
    await sender.close()
    await store.close()

    const later = await open({ signer: wallet, store: memoryStore(entries) })
    expect(later.find('k')).toEqual({ hash: first.hash, done: true })
    expect(await later.send(pay(), { key: 'k' })).toEqual(first)
    await later.forget('k')
    expect(later.find('k')).toBeUndefined()
    expect(entries.size).toBe(0)
    expect((await later.send(pay(), { key: 'k' })).nonce).toBe(1)
  })

  it('gives a key to the next caller when the first one fails before sending', async () => {
    const sender = await open({ rpcTimeout: 300 })
    let hang = true
    proxy.rule((method) => (method === 'eth_estimateGas' && hang ? 'hang' : undefined))
    const first = failure(sender.send(pay(), { key: 'k', timeout: 100 }))
    const second = sender.send(pay(), { key: 'k' })
    expect((await first).code).toBe('TIMEOUT')
    hang = false
    expect((await second).nonce).toBe(0)
  })

  it('leaves nothing in the store of what is done and has no key', async () => {
    const entries = new Map<string, Uint8Array>()
    const sender = await open({ store: memoryStore(entries) })
    await Promise.all([sender.send(pay()), sender.send(pay())])
    expect(entries.size).toBe(0)
  })

  it('remembers a raised fee', async () => {
    const entries = new Map<string, Uint8Array>()
    const wallet = freshWallet()
    await devnet.setAutomine(false)
    const store = memoryStore(entries)
    const sender = await open({ signer: wallet, store, stuckAfter: 50, maxBumps: 1 })
    const sent = failure(sender.send(pay()))
    await until(() => sender.pending()[0]?.hashes.length === 2)
    const { hashes } = sender.pending()[0]!
    await sender.close()
    await sent
    await store.close()
    const later = await open({ signer: wallet, store: memoryStore(entries) })
    expect(later.pending()[0]!.hashes).toEqual(hashes)
    await devnet.setAutomine(true)
    await devnet.mine()
    await until(() => later.pending().length === 0)
    expect(entries.size).toBe(0)
  })

  it('does not send on a new chain what was meant for the one before it', async () => {
    const entries = new Map<string, Uint8Array>()
    const wallet = freshWallet()
    await devnet.setAutomine(false)
    const store = memoryStore(entries)
    const sender = await open({ signer: wallet, store })
    const sent = failure(sender.send(pay()))
    await taken(sender, 1)
    await sender.close()
    await sent
    await store.close()
    proxy.rule((method, params) =>
      method === 'eth_getBlockByNumber' && params[0] === '0x0'
        ? { result: { number: '0x0', hash: id('other'), parentHash: id('none'), timestamp: '0x0' } }
        : undefined,
    )
    expect((await open({ signer: wallet, store: memoryStore(entries) })).pending()).toEqual([])
  })
})

describe('a browser wallet', () => {
  const walletOf = async (address: string): Promise<JsonRpcSigner> => provider.getSigner(address)

  it('chooses nonce and fee itself', async () => {
    const signer = await walletOf(freshWallet().address)
    const entries = new Map<string, Uint8Array>()
    const sender = await open({ signer, store: memoryStore(entries) })
    const receipts = await Promise.all([sender.send(pay(), { key: 'k' }), sender.send(pay())])
    expect(receipts.map(({ nonce }) => nonce).sort()).toEqual([0, 1])
    expect((await sender.send(pay(), { key: 'k' })).hash).toBe(receipts[0].hash)
    expect(entries.size).toBe(1)
  })

  it('may decline', async () => {
    const sender = await open({ signer: await walletOf(freshWallet().address) })
    proxy.rule((method) =>
      method === 'eth_sendTransaction' ? { error: { code: 4001, message: 'User denied transaction signature' } } : undefined,
    )
    const error = await failure(sender.send(pay(), { label: 'create order' }))
    expect(error.code).toBe('TRANSACTION_REJECTED')
    expect(error.shortMessage).toContain('create order')
    expect((await failure(sender.send(noRegistration()))).code).toBe('NOT_REGISTERED')
  })

  it('leaves the end unknown when it is slow or lost, and is still heard', async () => {
    const sender = await open({ signer: await walletOf(freshWallet().address) })
    proxy.rule((method) => (method === 'eth_sendTransaction' ? 'lose' : undefined))
    expect((await failure(sender.send(pay()))).code).toBe('TRANSACTION_UNKNOWN')
    let approve!: () => void
    const approved = new Promise<undefined>((resolve) => (approve = () => resolve(undefined)))
    proxy.rule((method) => (method === 'eth_sendTransaction' ? approved : undefined))
    const hashes: string[] = []
    const error = await failure(sender.send(pay(), { timeout: 300, onSent: (hash) => hashes.push(hash) }))
    expect(error.code).toBe('TRANSACTION_UNKNOWN')
    expect(hashes).toEqual([])
    expect(sender.pending()).toEqual([])
    approve()
    await until(() => hashes.length === 1)
    await until(async () => (await sender.outcome(hashes[0]!)) === 'mined')
  })

  it('does not keep a sender from closing while it asks its user', async () => {
    const sender = await open({ signer: await walletOf(freshWallet().address) })
    proxy.rule((method) => (method === 'eth_sendTransaction' ? 'hang' : undefined))
    const sent = failure(sender.send(pay()))
    await until(() => proxy.requests.at(-1)?.method === 'eth_sendTransaction')
    await sender.close()
    expect((await sent).code).toBe('TRANSACTION_UNKNOWN')
  })

  it('must be on the chain that the sender was made for', async () => {
    const signer = await walletOf(freshWallet().address)
    const sender = await open({ signer })
    const { getNetwork } = provider
    provider.getNetwork = async () => Network.from(5)
    cleanup.push(() => (provider.getNetwork = getNetwork))
    expect((await failure(sender.send(pay()))).code).toBe('WRONG_CHAIN')
  })

  it('may send a transaction again under another hash', async () => {
    const wallet = freshWallet()
    const sender = await open({ signer: await walletOf(wallet.address) })
    await devnet.setAutomine(false)
    const sent = sender.send(pay(9n))
    await until(() => sender.pending()[0]?.nonce === 0)
    const fees = { maxFeePerGas: parseEther('0.000001'), maxPriorityFeePerGas: parseEther('0.0000005') }
    const faster = await wallet.connect(devnet.provider).sendTransaction({ ...pay(9n), nonce: 0, ...fees })
    await devnet.mine()
    expect((await sent).hash).toBe(faster.hash)
  })
})
