import { sql as statement } from 'kysely'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { evidenceContract } from '../../../contracts/evidence.ts'
import { proxyTransferContract } from '../../../contracts/proxyTransfer.ts'
import { toHex, utf8 } from '../../../core/bytes.ts'
import { systemClock, type Clock } from '../../../core/clock.ts'
import {
  grapheneKey,
  seedSecret,
  signTransferParams,
  transferDigest,
  type TransferParams,
} from '../../../core/crypto/graphene/index.ts'
import { createRpc } from '../../../core/chain/rpc.ts'
import { silentLogger } from '../../../core/log.ts'
import { createLedger, type Ledger } from '../../../core/ledger/index.ts'
import { migrate, type Sql } from '../../../core/sql/index.ts'
import { startDevnet, type Devnet, type DevnetExchange } from '../../../testing/devnet.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import type { DueTransfer, TransferEnd } from '../context.ts'
import { migrations, type Database } from '../database.ts'
import { openChain, type OpenedChain } from './index.ts'
import { createRetention } from './retention.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const [MERCHANT, SOURCE, DES] = ['1.2.2', '1.2.3', '1.2.1'] as const
const secrets = ['des', 'merchant', 'source'].map(seedSecret)
const merchant = grapheneKey(secrets[1]!)

let devnet: Devnet
let pglite: SqlEngine
let sql: Sql<Database>
let ledger: Ledger
let exchange: DevnetExchange
let chain: OpenedChain | undefined
let ends: TransferEnd[] = []
let errors: string[] = []
let ahead = 0
/** The machine's clock, ten times as fast, and as far ahead as a test says. */
const clock: Clock = {
  now: () => Date.now() + ahead,
  sleep: (ms, signal) => systemClock.sleep(ms / 10, signal),
}

beforeAll(async () => {
  ;[devnet, pglite] = await Promise.all([startDevnet(), pgliteEngine()])
  sql = await pglite.open()
  await migrate(sql, 'des', migrations)
  ledger = await createLedger(sql, { clock })
  exchange = await devnet.deployExchange({
    accounts: secrets.map((secret, i) => ({ secret, deposit: i === 1 ? 1_000_000n : 0n })),
  })
}, 60_000)
afterEach(() => chain?.settlement.stop!())
afterAll(async () => {
  await devnet?.stop()
  await pglite?.stop()
})

async function start(): Promise<OpenedChain> {
  ends = []
  errors = []
  const log = { debug: () => {}, info: () => {}, warn: () => {} }
  const error = (message: string, details?: object) =>
    void errors.push(`${message} ${String((details as { reason?: string } | undefined)?.reason)}`)
  const signer = exchange.accounts[0]!.wallet
  chain = await openChain({ ...exchange, signer, confirmations: 2, sql, ledger, clock, log: { ...log, error } })
  await chain.settlement.start!(async (_, told) => void ends.push(...told))
  return chain
}

let made = 0
async function transfer(changes: Partial<TransferParams> = {}): Promise<DueTransfer> {
  const params: TransferParams = {
    ...{ from: MERCHANT, to: SOURCE, proxyAccount: DES, amount: { amount: 1000n, assetId: '1.3.1' }, percent: 1000 },
    ...{ memo: `memo ${++made}`, expiration: (await devnet.time()) + 3600 },
    ...changes,
  }
  const signed = signTransferParams(params, merchant)
  return { item: BigInt(made), digest: toHex(transferDigest(params)).slice(2), params: signed, proxyMemo: 'memo' }
}

const eventually = (what: () => unknown) => expect.poll(what, { timeout: 15_000, interval: 30 })
/** What of a table is there, in order. */
async function rowsOf(table: string, column: string): Promise<unknown[]> {
  const { rows } = await statement<{ value: unknown }>`select ${statement.ref(column)} as value from ${statement.table(table)}
    order by 1`.execute(sql.db)
  return rows.map(({ value }) => value)
}
async function settled(due: readonly DueTransfer[]): Promise<void> {
  const before = ends.length
  await chain!.settlement.submit!(due)
  await eventually(async () => {
    await devnet.mine()
    return ends.length
  }).toBe(before + due.length)
}
async function expectMirrored(): Promise<void> {
  const contract = proxyTransferContract(exchange.proxyTransfer, devnet.provider)
  for (const [i, account] of [DES, MERCHANT, SOURCE].entries()) {
    const onChain = await contract.balanceOf(i + 1, 1)
    await eventually(() =>
      sql.transaction(
        async (tx) => (await ledger.balance(tx, await chain!.settlement.ledgerAccount(tx, account, '1.3.1'))).posted,
      ),
    ).toBe(onChain)
  }
}
/** A batch of evidence, as the exchange keeps it. */
const batch = (root: string, anchored: boolean) =>
  statement`insert into des_evidence_batches (root, size, created_at, anchored_at)
    values (${root}, 1, 0, ${anchored ? 1 : null}::int8)`.execute(sql.db)

it('forgets what is final and told after a week, and books or undoes nothing of it again', { timeout: 60_000 }, async () => {
  await start()
  const old = [await transfer(), await transfer({ amount: { amount: 2_000_000n, assetId: '1.3.1' } })]
  // Refused as it can't be written, though it is good for long.
  const long = { ...(await transfer({ expiration: (await devnet.time()) + 20 * 86_400 })), proxyMemo: '' }
  await settled([...old, long])
  expect(ends.map(({ is }) => is).sort()).toEqual(['done', 'refused', 'refused'])
  // One that won't have been told, and roots that are asked for, and not any more.
  const untold = await transfer()
  await settled([untold])
  const [asked, over] = [1, 2].map((i) => seedSecret(`root ${i}`))
  const contract = evidenceContract(exchange.evidence, exchange.accounts[0]!.wallet)
  for (const root of [asked!, over!]) await (await contract.anchor(root, 1)).wait()
  await batch(toHex(asked!).slice(2), false)
  await batch(toHex(over!).slice(2), true)
  await devnet.mine(2)
  await eventually(() => rowsOf('des_chain_anchors', 'root')).toHaveLength(2)
  await chain!.settlement.stop!()
  const everything = async () => ({
    entries: (await rowsOf('des_chain_entries', 'id')).length,
    transfers: await rowsOf('des_chain_transfers', 'digest'),
    anchors: await rowsOf('des_chain_anchors', 'root'),
    calls: (await rowsOf('des_chain_calls', 'id')).length,
  })
  const all = await everything()
  expect(all).toMatchObject({ entries: 3, calls: 2 })
  expect(all.transfers).toHaveLength(4)

  // An hour later: what is reached by now is noted.
  ahead += HOUR
  await start()
  await devnet.mine()
  await eventually(() => rowsOf('des_chain_marks', 'closed')).toEqual([false, false])
  const young = await transfer()
  await settled([young])
  // Old enough, but not deep enough; then deep enough, and too young.
  ahead += 7 * DAY - 2000
  await devnet.increaseTime(8 * 86_400)
  await eventually(() => rowsOf('des_chain_marks', 'closed')).toEqual([false, false, false])
  expect((await everything()).entries).toBe(4)
  await chain!.settlement.stop!()
  ahead += HOUR
  await devnet.mine(300)
  const untell = statement`update des_chain_transfers set told = false where digest = ${untold.digest}`
  await untell.execute(sql.db)
  const rpc = createRpc({ provider: devnet.provider })
  const retention = createRetention({ sql, rpc, clock, log: silentLogger })
  await retention.prune((await rpc.header(await rpc.head()))!)
  // What wasn't told stays, and the call that it was in; so does the root that is still asked for.
  expect(await everything()).toEqual({
    entries: 1,
    transfers: [untold.digest, young.digest, long.digest].sort(),
    anchors: [toHex(asked!).slice(2)],
    calls: 2,
  })
  await start()
  await eventually(() => ends).toHaveLength(1)
  await expectMirrored()
  ahead += HOUR
  await devnet.mine()
  await eventually(everything).toMatchObject({ transfers: [young.digest, long.digest].sort(), calls: 1 })
  expect(await rowsOf('des_chain_keys', 'account')).toEqual([1n, 2n, 3n])
  await expectMirrored()
  await chain!.settlement.stop!()

  // The watcher's place is lost: all is delivered again, and nothing of it booked.
  await statement`delete from store_entries`.execute(sql.db)
  await start()
  await expectMirrored()
  await settled([await transfer()])
  await expectMirrored()
  expect((await everything()).entries).toBe(2)
  expect(await rowsOf('des_incomes', 'account')).toEqual([MERCHANT])
  await chain!.settlement.stop!()

  // A reorganisation deeper than the watcher can see: it begins anew, and what is closed stays booked.
  const another = () =>
    statement`update store_entries set value = ${utf8('31337-another')} where key = ${utf8('watcher/des-chain/chain')}`.execute(
      sql.db,
    )
  await another()
  await start()
  await eventually(() => endsOf()).toEqual(2)
  await expectMirrored()
  expect(errors.join()).toContain('no longer on the chain')
  expect(await rowsOf('des_chain_keys', 'account')).toEqual([1n, 2n, 3n])
  await chain!.settlement.stop!()

  // Another chain altogether: nothing is undone, and nothing booked.
  await statement`update des_chain_marks set hash = ${`0x${'00'.repeat(32)}`} where closed`.execute(sql.db)
  await another()
  const before = await rowsOf('ledger_transactions', 'id')
  await start()
  await eventually(() => errors.join()).toContain('this is not the chain of this database')
  expect(await rowsOf('ledger_transactions', 'id')).toEqual(before)

  function endsOf(): number {
    return ends.filter(({ is }) => is === 'done').length
  }
})
