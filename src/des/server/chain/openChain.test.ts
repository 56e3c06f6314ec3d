import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { keccak256 } from 'ethers'
import { sql as statement } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { evidenceContract } from '../../../contracts/evidence.ts'
import { encodeTransfer, proxyTransferContract, proxyTransferInterface } from '../../../contracts/proxyTransfer.ts'
import { fromHex, toHex } from '../../../core/bytes.ts'
import { systemClock, type Clock } from '../../../core/clock.ts'
import {
  grapheneKey,
  seedSecret,
  signTransferParams,
  transferDigest,
  type AccountId,
  type TransferParams,
} from '../../../core/crypto/graphene/index.ts'
import { createMerkleTree, leafHash } from '../../../core/crypto/merkle.ts'
import { createLedger, type Balance, type Ledger } from '../../../core/ledger/index.ts'
import type { Logger } from '../../../core/log.ts'
import { migrate, openPostgres, type Sql } from '../../../core/sql/index.ts'
import { startDevnet, type Devnet, type DevnetExchange } from '../../../testing/devnet.ts'
import { startRpcProxy } from '../../../testing/rpcProxy.ts'
import { pgliteEngine, postgresEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import type { DueTransfer, TransferEnd } from '../context.ts'
import { migrations, type Database } from '../database.ts'
import { holdKey } from '../exchange/items.ts'
import { openChain, type ChainOptions, type OpenedChain } from './index.ts'

const CID = 'QmbTuAu2zM53Rj8rk8J2o7mCzHJr6vf8WdjYyiq5SNaDBF'
const secrets = ['des', 'merchant', 'source'].map(seedSecret)
const [DES, MERCHANT, SOURCE] = ['1.2.1', '1.2.2', '1.2.3'] as const
const merchant = grapheneKey(secrets[1]!)
const CONFIRMATIONS = 3
const DEPOSIT = 1_000_000n

let devnet: Devnet
let pglite: SqlEngine
let postgres: Awaited<ReturnType<typeof postgresEngine>>
/** The contracts with three accounts; each test has the chain as it was when they were deployed. */
let exchange: DevnetExchange
let snapshot: string
let mining: NodeJS.Timeout | undefined
let mined: Promise<void> = Promise.resolve()
const undo: (() => unknown)[] = []

beforeAll(async () => {
  ;[devnet, pglite, postgres] = await Promise.all([startDevnet(), pgliteEngine(), postgresEngine()])
  exchange = await devnet.deployExchange({
    placeBits: 8,
    accounts: secrets.map((secret, i) => ({ secret, deposit: i === 1 ? DEPOSIT : 0n })),
  })
  snapshot = await devnet.snapshot()
  await devnet.provider.on('debug', (event: { action: string; payload?: unknown }) => {
    if (event.action !== 'sendRpcPayload') return
    const methods = [event.payload].flat().map((call) => (call as { method: string }).method)
    heads += methods.filter((method) => method === 'eth_blockNumber').length
    if (methods.some((method) => OF_SENDERS.has(method))) sendingAt = Date.now()
  })
}, 60_000)
afterEach(async () => {
  await mineNoMore()
  for (const step of undo.splice(0).reverse()) await step()
  await devnet.setAutomine(true)
  await devnet.revert(snapshot)
  snapshot = await devnet.snapshot()
})
afterAll(async () => {
  await devnet?.stop()
  await pglite?.stop()
  await postgres?.stop()
})

/** A clock that runs ten times as fast: pauses are what a test would otherwise spend most of its time in. */
const SPEED = 10
const began = Date.now()
const clock: Clock = {
  now: () => began + (Date.now() - began) * SPEED,
  sleep: (ms, signal) => systemClock.sleep(ms / SPEED, signal),
}

/** How often the newest block was asked for. */
let heads = 0
/** What is asked by a call that is being sent, without a longer pause until it is over. */
const OF_SENDERS = new Set(['eth_getBalance', 'eth_estimateGas', 'eth_getTransactionCount', 'eth_sendRawTransaction'])
/** When one of them was asked last. */
let sendingAt = 0
/** Waits until the chain was looked at some times more: what hasn't happened then, will not. */
async function looks(count = 5): Promise<void> {
  for (const until = heads + count; heads < until; ) await systemClock.sleep(5)
}

/** A block each 30 milliseconds: what is sent gets its confirmations. */
function mine(): void {
  mining ??= setInterval(() => {
    mined = devnet.mine().catch(() => {})
  }, 30)
}
/** Nothing is mined during a reorganisation: anvil loses a block then, for ever. */
async function mineNoMore(): Promise<void> {
  clearInterval(mining)
  mining = undefined
  await mined
}

/** A database with an exchange's tables, and contracts of its own. */
interface World {
  readonly sql: Sql<Database>
  readonly ledger: Ledger
  readonly exchange: DevnetExchange
  readonly options: ChainOptions
  /** What was told, by item; an end that is told twice is there twice. */
  readonly ends: TransferEnd[]
}

async function createWorld(sql: Sql<unknown>, options: Partial<ChainOptions> = {}): Promise<World> {
  await migrate(sql, 'des', migrations)
  return {
    sql,
    ledger: await createLedger(sql),
    exchange,
    options: { ...exchange, signer: exchange.accounts[0]!.wallet, confirmations: CONFIRMATIONS, ...options },
    ends: [],
  }
}

/** Opens the chain in this process, and starts it. */
async function start(world: World, by: Clock = clock, log: Logger = quiet): Promise<OpenedChain> {
  const chain = await openChain({ ...world.options, sql: world.sql, ledger: world.ledger, clock: by, log })
  await chain.settlement.start!(async (tx, ends) => {
    expect(tx.isTransaction).toBe(true)
    world.ends.push(...ends)
  })
  undo.push(() => chain.settlement.stop!())
  return chain
}
const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let made = 0
async function transfer(changes: Partial<TransferParams> = {}, key = merchant): Promise<DueTransfer> {
  const params: TransferParams = {
    from: MERCHANT,
    to: SOURCE,
    proxyAccount: DES,
    amount: { amount: 1000n, assetId: '1.3.1' },
    percent: 1000,
    memo: `memo ${++made}`,
    expiration: (await devnet.time()) + 3600,
    ...changes,
  }
  return {
    item: BigInt(made),
    digest: toHex(transferDigest(params)).slice(2),
    params: signTransferParams(params, key),
    proxyMemo: CID,
  }
}

/** Sets the money of transfers apart, as the exchange does. */
async function hold({ sql, ledger }: World, { settlement }: OpenedChain, ...transfers: DueTransfer[]): Promise<void> {
  await sql.transaction(async (tx) => {
    for (const { digest, params } of transfers) {
      await ledger.hold(tx, {
        key: holdKey(digest),
        account: await settlement.ledgerAccount(tx, params.from, params.amount.assetId),
        amount: params.amount.amount,
        expiresAt: Date.now() + 30 * 86_400_000,
      })
    }
  })
}
async function balance({ sql, ledger }: World, { settlement }: OpenedChain, account: AccountId): Promise<Balance> {
  return sql.transaction(async (tx) => ledger.balance(tx, await settlement.ledgerAccount(tx, account, '1.3.1')))
}
const heldStates = async ({ sql }: World): Promise<Record<string, string>> => {
  const { rows } = await statement<{ key: string; state: string }>`select key, state from ledger_holds`.execute(sql.db)
  return Object.fromEntries(rows.map(({ key, state }) => [key, state]))
}
/** Waits for something that takes blocks. */
const eventually = (what: () => unknown, timeout = 15_000) => expect.poll(what, { timeout, interval: 20 })
/** The ledger says what the chain says, to the last unit. */
async function expectMirrored(world: World, chain: OpenedChain): Promise<void> {
  const contract = proxyTransferContract(world.exchange.proxyTransfer, devnet.provider)
  for (const [i, account] of [DES, MERCHANT, SOURCE].entries()) {
    const onChain = await contract.balanceOf(i + 1, 1)
    await eventually(async () => (await balance(world, chain, account)).posted).toBe(onChain)
  }
}
const endsOf = ({ ends }: World, is: TransferEnd['is']): bigint[] => ends.filter((end) => end.is === is).map(({ item }) => item)
const sentBy = (world: World): Promise<number> => devnet.provider.getTransactionCount(world.exchange.accounts[0]!.wallet.address)

describe('the mirror', () => {
  it('has keys, deposits and incomes once they are deep enough', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    const block = await devnet.provider.getBlockNumber()
    await looks()
    // The merchant's deposit is two blocks old: one more to go.
    expect(await devnet.provider.getBlockNumber()).toBe(block)
    expect(await chain.settlement.publicKeyOf(SOURCE)).toBe(undefined)
    expect((await balance(world, chain, MERCHANT)).posted).toBe(0n)
    await devnet.mine(CONFIRMATIONS)
    await eventually(() => chain.settlement.publicKeyOf(SOURCE)).toBe(grapheneKey(secrets[2]!).publicKey)
    expect(await balance(world, chain, MERCHANT)).toEqual({ posted: DEPOSIT, held: 0n, available: DEPOSIT })
    const incomes = await world.sql.db.selectFrom('des_incomes').selectAll().execute()
    expect(incomes).toMatchObject([{ account: MERCHANT, asset: '1.3.1', amount: `${DEPOSIT}` }])
    const asked = ['1.2.77', MERCHANT, '1.2.x', '1.2.99999999999999999999', MERCHANT] as const
    expect(await Promise.all(asked.map((account) => chain.settlement.publicKeyOf(account)))).toEqual([
      undefined,
      merchant.publicKey,
      undefined,
      undefined,
      merchant.publicKey,
    ])
    expect(await chain.accountOf(grapheneKey(secrets[0]!).publicKey)).toBe(DES)
    await expect(chain.accountOf(merchant.publicKey)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it('has another key from when it was changed', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    const contract = proxyTransferContract(world.exchange.proxyTransfer, devnet.provider)
    const newcomer = devnet.accounts[0]!
    const consent = merchant.sign(fromHex(await contract.keyChangeDigest(2, newcomer.address)))
    await (await contract.connect(newcomer).changeKey(2, newcomer.signingKey.publicKey, consent)).wait()
    mine()
    await eventually(() => chain.settlement.publicKeyOf(MERCHANT)).toBe(grapheneKey(fromHex(newcomer.privateKey)).publicKey)
  })

  it('keeps what will be taken out from being promised, and lets the newest holds give way to what was', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    const wallet = world.exchange.accounts[1]!.wallet
    const contract = proxyTransferContract(world.exchange.proxyTransfer, wallet)
    mine()
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(DEPOSIT)
    const [old, late] = [
      await transfer({ amount: { amount: 300_000n, assetId: '1.3.1' } }),
      await transfer({ amount: { amount: 200_000n, assetId: '1.3.1' } }),
    ]
    await hold(world, chain, old)
    await new Promise((resolve) => setTimeout(resolve, 5))
    await hold(world, chain, late)
    await (await contract.planTake(2, 1, 900_000n)).wait()
    // All that isn't promised yet is set apart; the rest follows as promises end.
    await eventually(async () => (await balance(world, chain, MERCHANT)).available).toBe(0n)
    expect((await heldStates(world))[holdKey(old.digest)]).toBe('held')
    await world.sql.transaction((tx) => world.ledger.release(tx, holdKey(late.digest)))
    await eventually(async () => (await balance(world, chain, MERCHANT)).available).toBe(0n)
    const again = await transfer({ amount: { amount: 1n, assetId: '1.3.1' } })
    await expect(hold(world, chain, again)).rejects.toMatchObject({ code: 'BALANCE_SHORT' })
    // Holds that last longer than any authorisation could: the money goes all the same.
    await devnet.increaseTime(2 * 86_400)
    await (await contract.take(2, 1, wallet.address)).wait()
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(100_000n)
    expect((await heldStates(world))[holdKey(old.digest)]).toBe('released')
    expect(await balance(world, chain, MERCHANT)).toEqual({ posted: 100_000n, held: 0n, available: 100_000n })
    expect(await statement`select * from des_chain_plans`.execute(world.sql.db)).toMatchObject({ rows: [] })
  })
})

describe('the mirror, when another exchange is quicker,', () => {
  it('lets what was announced to be taken give way before what was promised', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    mine()
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(DEPOSIT)
    const promise = (amount: bigint) => transfer({ amount: { amount, assetId: '1.3.1' } })
    const [old, young] = [await promise(300_000n), await promise(200_000n)]
    await hold(world, chain, old)
    const contract = proxyTransferContract(world.exchange.proxyTransfer, world.exchange.accounts[1]!.wallet)
    await (await contract.planTake(2, 1, 100_000n)).wait()
    await eventually(async () => (await balance(world, chain, MERCHANT)).held).toBe(400_000n)
    await hold(world, chain, young)
    // The data source is an exchange of its own, to which the merchant has promised more than is left.
    const source = contract.connect(world.exchange.accounts[2]!.wallet)
    const carryOut = async (amount: bigint) => {
      const other = await transfer({ to: DES, proxyAccount: SOURCE, amount: { amount, assetId: '1.3.1' } })
      await (await source.proxyTransfer(encodeTransfer(other))).wait()
    }
    await carryOut(450_000n)
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(550_000n)
    expect(await heldStates(world)).toMatchObject({ [holdKey(old.digest)]: 'held', [holdKey(young.digest)]: 'held' })
    // What is left of it is set apart again.
    await eventually(async () => (await balance(world, chain, MERCHANT)).available).toBe(0n)
    expect(await statement`select held, books is not null as known from des_chain_plans`.execute(world.sql.db)).toMatchObject({
      rows: [{ held: '50000', known: true }],
    })
    // Then the newest promises.
    await carryOut(100_000n)
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(450_000n)
    expect(await heldStates(world)).toMatchObject({ [holdKey(old.digest)]: 'held', [holdKey(young.digest)]: 'released' })
    await expectMirrored(world, chain)
  })
})

describe('transfers', () => {
  it("of a batch are carried out but for the one that can't be, and booked with what ends them", async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    mine()
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(DEPOSIT)
    const before = await sentBy(world)
    const all: DueTransfer[] = []
    for (let i = 0; i < 50; i++) all.push(await transfer({}, i === 17 ? grapheneKey(secrets[2]!) : merchant))
    await hold(world, chain, ...all)
    await chain.settlement.submit!(all)
    await chain.settlement.submit!(all.slice(0, 10))
    await eventually(() => world.ends.length).toBe(50)
    expect(await sentBy(world)).toBe(before + 1)
    expect(world.ends.filter(({ is }) => is === 'refused')).toEqual([
      { is: 'refused', item: all[17]!.item, reason: 'NOT_SIGNED_BY_PAYER' },
    ])
    const [first] = world.ends
    expect(first).toMatchObject({ is: 'done', txid: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown })
    const states = await heldStates(world)
    expect(all.map(({ digest }) => states[holdKey(digest)])).toEqual(all.map((_, i) => (i === 17 ? 'held' : 'captured')))
    expect(await balance(world, chain, SOURCE)).toMatchObject({ posted: 49n * 900n })
    await expectMirrored(world, chain)
    // Once more, when all is over: told again, and not sent.
    await chain.settlement.submit!(all)
    await eventually(() => world.ends.length).toBe(100)
    expect(await sentBy(world)).toBe(before + 1)
  })

  it('are booked once and told once, however often the chain is read', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    mine()
    const due = await transfer()
    await chain.settlement.submit!([due])
    await eventually(() => endsOf(world, 'done')).toEqual([due.item])
    await chain.settlement.stop!()
    // The watcher's place is lost, and all is read from the start.
    await statement`delete from store_entries`.execute(world.sql.db)
    const again = await start(world)
    const last = await transfer()
    await again.settlement.submit!([last])
    await eventually(() => endsOf(world, 'done')).toEqual([due.item, last.item])
    await expectMirrored(world, again)
    expect(await world.sql.db.selectFrom('des_incomes').selectAll().execute()).toHaveLength(1)
  })

  it("without a hold are booked too, and what can't be written is refused", async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    mine()
    const good = await transfer()
    const [short, bad] = [
      await transfer({ amount: { amount: DEPOSIT + 1n, assetId: '1.3.1' } }),
      { ...(await transfer()), proxyMemo: '' },
    ]
    await chain.settlement.submit!([good, short, bad])
    await eventually(() => world.ends.length).toBe(3)
    expect(endsOf(world, 'done')).toEqual([good.item])
    expect(world.ends).toContainEqual({ is: 'refused', item: short.item, reason: 'PAYER_SHORT' })
    expect(world.ends).toContainEqual({ is: 'refused', item: bad.item, reason: 'BAD_ARGUMENT' })
    await expectMirrored(world, chain)
  })

  it('that a stranger had refused, or that were carried out before, are not sent again or lost', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    const contract = proxyTransferContract(world.exchange.proxyTransfer, devnet.accounts[1])
    const [spoiled, early] = [await transfer(), await transfer()]
    await (await contract.connect(world.exchange.accounts[0]!.wallet).proxyTransfer(encodeTransfer(early))).wait()
    const { address } = world.exchange.accounts[0]!.wallet
    const money = await devnet.provider.getBalance(address)
    await devnet.provider.send('anvil_setBalance', [address, '0x0'])
    await chain.settlement.submit!([spoiled])
    // A stranger's attempt is refused as such, under the same digest, before ours can leave.
    const attempt = await (await contract.proxyTransfers(encodeTransfer(spoiled))).wait()
    expect(proxyTransferInterface.parseLog(attempt!.logs[0]!)!.args['digest']).toBe(`0x${spoiled.digest}`)
    await devnet.mine(CONFIRMATIONS)
    await looks()
    expect(world.ends).toEqual([])
    await devnet.provider.send('anvil_setBalance', [address, `0x${money.toString(16)}`])
    mine()
    await eventually(() => world.ends).toMatchObject([{ is: 'done', item: spoiled.item }])
    await eventually(async () => (await balance(world, chain, SOURCE)).posted).toBe(1800n)
    const after = await sentBy(world)
    await chain.settlement.submit!([early])
    await eventually(() => endsOf(world, 'done')).toEqual([spoiled.item, early.item])
    expect(await sentBy(world)).toBe(after)
    await expectMirrored(world, chain)
  })

  it("are refused once the chain's time has passed them, and not before", async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    const { address } = world.exchange.accounts[0]!.wallet
    const balanceBefore = await devnet.provider.getBalance(address)
    await devnet.provider.send('anvil_setBalance', [address, '0x0'])
    const due = await transfer()
    await chain.settlement.submit!([due])
    await devnet.mine(CONFIRMATIONS)
    await looks()
    expect(world.ends).toEqual([])
    await devnet.increaseTime(3600)
    expect(world.ends).toEqual([])
    await devnet.mine(CONFIRMATIONS)
    await eventually(() => world.ends).toEqual([{ is: 'refused', item: due.item, reason: 'EXPIRATION_OUT_OF_RANGE' }])
    // The call is not sent any more when there is money again; one that was being sent just then has failed by now.
    await looks(20)
    while (Date.now() - sendingAt < 2_000) await systemClock.sleep(20)
    await devnet.provider.send('anvil_setBalance', [address, `0x${balanceBefore.toString(16)}`])
    const before = await sentBy(world)
    await clock.sleep(4000) // longer than a failed call waits
    expect(await sentBy(world)).toBe(before)
  })

  it('that the node has lost are handed over again', { timeout: 60_000 }, async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    const { address } = world.exchange.accounts[0]!.wallet
    await devnet.setAutomine(false)
    const before = await sentBy(world)
    const due = await transfer()
    await chain.settlement.submit!([due])
    await eventually(() => devnet.provider.getTransactionCount(address, 'pending')).toBe(before + 1)
    await devnet.provider.send('anvil_dropAllTransactions', [])
    expect(await devnet.provider.getTransactionCount(address, 'pending')).toBe(before)
    mine()
    await eventually(() => endsOf(world, 'done'), 40_000).toEqual([due.item])
    expect(await sentBy(world)).toBe(before + 1)
    await expectMirrored(world, chain)
  })

  it('that a reorganisation undoes are told when they are final, once', async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    await devnet.mine(10)
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(DEPOSIT)
    const due = await transfer()
    await hold(world, chain, due)
    const before = await sentBy(world)
    await chain.settlement.submit!([due])
    await eventually(() => sentBy(world)).toBe(before + 1)
    await devnet.mine()
    await looks()
    expect(world.ends).toEqual([])
    await devnet.setAutomine(false)
    await devnet.reorg(2)
    expect(await sentBy(world)).toBe(before)
    expect((await heldStates(world))[holdKey(due.digest)]).toBe('held')
    await devnet.setAutomine(true)
    mine()
    await eventually(() => world.ends, 30_000).toMatchObject([{ is: 'done', item: due.item }])
    await expectMirrored(world, chain)
    expect(endsOf(world, 'done')).toEqual([due.item])
  }, 60_000)

  it('that a deeper reorganisation undoes are taken back, and made again', { timeout: 60_000 }, async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    await devnet.mine(10)
    await eventually(async () => (await balance(world, chain, MERCHANT)).posted).toBe(DEPOSIT)
    const due = await transfer()
    await hold(world, chain, due)
    await chain.settlement.submit!([due])
    await eventually(async () => {
      await devnet.mine()
      return world.ends.length
    }).toBe(1)
    expect(await balance(world, chain, SOURCE)).toMatchObject({ posted: 900n })
    const first = (world.ends[0] as { txid: string }).txid
    const { blockNumber } = (await devnet.provider.getTransactionReceipt(`0x${first}`))!
    await devnet.setAutomine(false)
    await devnet.reorg((await devnet.provider.getBlockNumber()) - blockNumber + 1)
    expect(await devnet.provider.getTransactionReceipt(`0x${first}`)).toBe(null)
    await eventually(async () => (await balance(world, chain, SOURCE)).posted).toBe(0n)
    expect(await balance(world, chain, MERCHANT)).toEqual({ posted: DEPOSIT, held: 0n, available: DEPOSIT })
    await devnet.setAutomine(true)
    mine()
    await eventually(() => endsOf(world, 'done').length, 30_000).toBe(2)
    await expectMirrored(world, chain)
    expect(await balance(world, chain, SOURCE)).toMatchObject({ posted: 900n })
  })
})

describe('anchors', () => {
  it('roots once, and tells where', { timeout: 60_000 }, async () => {
    const world = await createWorld(await pglite.open())
    const chain = await start(world)
    mine()
    const digests = [1, 2, 3].map((i) => seedSecret(`record ${i}`))
    const tree = createMerkleTree(digests.map(leafHash))
    const before = await sentBy(world)
    const [one, other] = await Promise.all([chain.anchor!.anchor(1n, tree.root, 3), chain.anchor!.anchor(1n, tree.root, 3)])
    expect(one).toEqual(other)
    const receipt = await devnet.provider.getTransactionReceipt(`0x${one.txid}`)
    expect(receipt!.blockNumber).toBe(one.block)
    expect(await devnet.provider.getBlockNumber()).toBeGreaterThanOrEqual(one.block + CONFIRMATIONS - 1)
    expect(await chain.anchor!.anchor(1n, tree.root, 3)).toEqual(one)
    expect(await sentBy(world)).toBe(before + 1)
    const { wallet } = world.exchange.accounts[0]!
    const proof = tree.proof(1)
    const contract = evidenceContract(world.exchange.evidence, devnet.provider)
    const hashes = [proof.slice(0, 32), proof.slice(32)]
    expect(await contract.verify(wallet.address, tree.root, 3, 1, digests[1]!, hashes)).toBe(
      BigInt((await devnet.provider.getBlock(one.block))!.timestamp),
    )
    // Anchored by a transaction that nobody here remembers.
    const lost = createMerkleTree(digests.slice(1).map(leafHash))
    await (await contract.connect(wallet).anchor(lost.root, 2)).wait()
    expect((await chain.anchor!.anchor(2n, lost.root, 2)).txid).toMatch(/^[0-9a-f]{64}$/)
    await eventually(async () => {
      const { rows } = await statement`select from des_chain_calls where ended_at is null`.execute(world.sql.db)
      return rows.length
    }, 5000).toBe(0)
  })
})

describe('several processes', () => {
  /** Another process on the same database, behind a proxy of the node. */
  async function another(world: World, database: string, rpc: string, lease: number) {
    const { proxyTransfer, fromBlock } = world.exchange
    const job = {
      ...{ rpc, chainId: Number(devnet.chainId), secret: world.exchange.accounts[0]!.wallet.privateKey, database },
      ...{ proxyTransfer, fromBlock, confirmations: CONFIRMATIONS, lease },
    }
    const script = fileURLToPath(new URL('./chainProcess.testing.ts', import.meta.url))
    const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, CHAIN_JOB: JSON.stringify(job) },
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    undo.push(() => (child.kill('SIGKILL'), ended))
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    expect((await lines.next()).value).toBe('ready')
    return { next: async () => String((await lines.next()).value), kill: () => (child.kill('SIGKILL'), ended) }
  }

  it.each([
    ['persisted and before it is sent', 'hang' as const],
    ['sent and before that is known', 'lose' as const],
  ])('killed when a transaction is %s: the next one sends the same, and no other', { timeout: 90_000 }, async (_, fault) => {
    const url = await postgres.openUrl()
    const sql = openPostgres<unknown>({ url })
    undo.push(() => sql.close())
    const world = await createWorld(sql, { lease: 1000 })
    const proxy = await startRpcProxy(devnet.url)
    undo.push(() => proxy.stop())
    const first = await another(world, url, proxy.url, 1000)
    const raws: string[] = []
    proxy.rule((method, params) => {
      if (method !== 'eth_sendRawTransaction') return undefined
      raws.push(String(params[0]))
      return fault
    })
    const before = await sentBy(world)
    // Submitted by a process that doesn't lead. Both have the same time.
    const chain = await start(world, systemClock)
    const due = [await transfer(), await transfer()]
    await chain.settlement.submit!(due)
    await eventually(() => raws.length, 30_000).toBeGreaterThan(0)
    await first.kill()
    mine()
    await eventually(() => endsOf(world, 'done'), 40_000).toEqual(due.map(({ item }) => item))
    expect(await sentBy(world)).toBe(before + 1)
    const hash = (world.ends[0] as { txid: string }).txid
    const { rows } = await statement<{ txid: string }>`select distinct txid from des_chain_transfers`.execute(sql.db)
    expect(rows).toEqual([{ txid: hash }])
    expect(new Set(raws.map((raw) => keccak256(raw).slice(2)))).toEqual(new Set([hash]))
    await expectMirrored(world, chain)
  })

  it('one of them sends and tells, and another one when it has gone', { timeout: 90_000 }, async () => {
    const url = await postgres.openUrl()
    const [one, other] = [openPostgres<unknown>({ url }), openPostgres<unknown>({ url })]
    undo.push(
      () => one.close(),
      () => other.close(),
    )
    const world = await createWorld(one, { lease: 1000 })
    const second: World = { ...world, sql: other, ends: [] }
    const chains = [await start(world), await start(second)] as const
    mine()
    const before = await sentBy(world)
    const all = [await transfer(), await transfer(), await transfer(), await transfer()]
    await Promise.all([chains[0].settlement.submit!(all.slice(0, 2)), chains[1].settlement.submit!(all)])
    await eventually(() => world.ends.length + second.ends.length, 30_000).toBe(4)
    expect([world.ends.length, second.ends.length].sort()).toEqual([0, 4])
    expect((await sentBy(world)) - before).toBeLessThanOrEqual(2)
    const [idle, busy] = world.ends.length === 0 ? [world, second] : [second, world]
    await (busy === world ? chains[0] : chains[1]).settlement.stop!()
    const more = await transfer()
    await (busy === world ? chains[0] : chains[1]).settlement.submit!([more])
    await eventually(() => endsOf(idle, 'done'), 30_000).toEqual([more.item])
    expect(busy.ends).toHaveLength(4)
    await expectMirrored(world, chains[0])
  })
})

it('opens only what is there', async () => {
  const world = await createWorld(await pglite.open())
  const open = (options: Partial<ChainOptions>) =>
    openChain({ ...world.options, ...options, sql: world.sql, ledger: world.ledger, clock, log: quiet })
  await expect(open({ proxyTransfer: devnet.accounts[0]!.address })).rejects.toMatchObject({ code: 'NOT_DEPLOYED' })
  await expect(open({ evidence: devnet.accounts[0]!.address })).rejects.toMatchObject({ code: 'NOT_DEPLOYED' })
  await expect(open({ signer: devnet.accounts[0]! })).rejects.toMatchObject({ code: 'ACCOUNT_NOT_FOUND' })
  await expect(open({ signer: devnet.accounts[0]!.connect(null) })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
})
