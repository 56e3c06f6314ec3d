import type { EventFragment, Interface, Result } from 'ethers'
import { sql as statement, type RawBuilder } from 'kysely'
import { fromHex } from '../../../core/bytes.ts'
import type { ChainLog } from '../../../core/chain/chainLog.ts'
import { errorCodeOf } from '../../../core/chain/revert.ts'
import type { Rpc } from '../../../core/chain/rpc.ts'
import type { WatchedBlock, WatcherHandlers } from '../../../core/chain/watcher.ts'
import type { Clock } from '../../../core/clock.ts'
import { publicKeyText, type AccountId, type AssetId } from '../../../core/crypto/graphene/index.ts'
import { isSluiceError } from '../../../core/errors.ts'
import type { Ledger, LedgerEntry, Posting } from '../../../core/ledger/index.ts'
import type { Logger } from '../../../core/log.ts'
import type { Sql, Tx } from '../../../core/sql/index.ts'
import { evidenceInterface } from '../../../contracts/evidence.ts'
import { proxyTransferInterface } from '../../../contracts/proxyTransfer.ts'
import type { Database } from '../database.ts'
import { holdKey } from '../exchange/items.ts'
import type { Retention } from './retention.ts'
import { assetOf, byDigest, idOf, ledgerAccount, worldAccount } from './names.ts'

/** Options of {@link createMirror}. */
export interface MirrorOptions {
  readonly sql: Sql<Database>
  readonly ledger: Ledger
  readonly rpc: Rpc
  /** The logs of a transaction; undefined if it is in another block now, or in none. */
  readonly logsOf: (log: ChainLog) => Promise<readonly ChainLog[] | undefined>
  /** Address of `ProxyTransfer.sol`; logs of any other are of `Evidence.sol`. */
  readonly proxyTransfer: string
  /** Address of the exchange. */
  readonly own: string
  /** The exchange's account. */
  readonly account: AccountId
  readonly retention: Retention
  /** Tells the ends that are booked and not told yet, in the same transaction. */
  readonly tell: (tx: Tx) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

/** A log, and what it says. */
interface Entry {
  readonly log: ChainLog
  readonly event: ChainEvent
}

interface ChainEvent {
  readonly name: string
  readonly args: Result
}

/** What has become of a transfer of ours. */
interface Transfer {
  readonly digest: string
  readonly txid: string
  readonly block: number
  readonly reason: string
}

/** A movement of money that is to be booked. */
interface Movement extends Entry {
  readonly postings: readonly Posting[]
  /** Of the row that makes it be booked once. */
  readonly id: bigint
}

const PLAN_HOLD = 'des/chain/plan/'

/**
 * Keeps SQL and the ledger as the chain has it, from what a watcher delivers: deep enough, in order, and at least once.
 *
 * All of a transaction is booked in one transaction of SQL. The ledger's accounts never say more than the chain's: when the
 * chain took what was set apart, the newest holds give way.
 */
export function createMirror(options: MirrorOptions): WatcherHandlers {
  const { sql, ledger, rpc, logsOf, proxyTransfer, own, account: ownAccount, retention, tell, clock, log } = options
  /** The transaction that was booked last, as a whole. */
  let booked = ''

  return {
    async onLog(entry) {
      const transaction = `${entry.blockHash}/${entry.transactionHash}`
      if (transaction === booked) return
      const all = await logsOf(entry)
      await book(all ?? [entry])
      if (all) booked = transaction
    },
    onBlock,
    onRollback,
  }

  async function book(logs: readonly ChainLog[]): Promise<void> {
    const entries = logs.flatMap((each): Entry[] => {
      const event = each.address === proxyTransfer ? readTransferEvent(each) : readEvidenceEvent(each)
      return event ? [{ log: each, event }] : []
    })
    const at = entries.some(({ event }) => event.name === 'Deposited') ? await timeOf(entries[0]!.log.blockNumber) : 0
    const { blockNumber } = logs[0]!
    await sql.transaction(async (tx) => {
      // Booked long ago, and what shows that may be gone.
      if (blockNumber <= (await retention.closedTo(tx))) return
      for (const entry of entries) await note(tx, entry)
      await noteTransfers(tx, entries)
      await move(tx, entries, at)
      await tell(tx)
    })
  }

  /** Milliseconds since 1970. */
  async function timeOf(block: number): Promise<number> {
    const header = await rpc.header(block)
    return header ? header.timestamp * 1000 : clock.now()
  }

  /** What a log says beside the money; the same again changes nothing. */
  async function note(tx: Tx, { log: { blockNumber, index, transactionHash }, event: { name, args } }: Entry): Promise<void> {
    const txid = transactionHash.slice(2)
    switch (name) {
      case 'AccountOpened':
      case 'KeyChanged': {
        const key = publicKeyText(compressed(fromHex(args['publicKey'] as string)))
        await statement`insert into des_chain_keys (account, block, log, public_key)
          values (${args['account'] as bigint}, ${blockNumber}, ${index}, ${key}) on conflict do nothing`.execute(tx)
        return
      }
      case 'TakePlanned': {
        const [account, asset, amount] = [idOf(args['account']), assetOf(args['asset']), args['amount'] as bigint]
        await endPlan(tx, account, asset)
        if (amount === 0n) return
        const books = await ledgerAccount(ledger, tx, account, asset)
        await statement`insert into des_chain_plans (account, asset, books, block, amount)
          values (${account}, ${asset}, ${books}, ${blockNumber}, ${amount}::numeric)`.execute(tx)
        await setAside(tx, account, asset)
        return
      }
      case 'Taken':
        return endPlan(tx, idOf(args['account']), assetOf(args['asset']))
      case 'Anchored': {
        if (args['anchorer'] !== own) return
        await statement`insert into des_chain_anchors (root, size, txid, block)
          values (${(args['root'] as string).slice(2)}, ${args['size'] as bigint}, ${txid}, ${blockNumber})
          on conflict (root, size) do update set txid = excluded.txid, block = excluded.block`.execute(tx)
      }
    }
  }

  /** Our transfers that were carried out, and those that were refused. */
  async function noteTransfers(tx: Tx, entries: readonly Entry[]): Promise<void> {
    const of = (name: string, isOurs: (args: Result) => boolean): Transfer[] =>
      entries
        .filter(({ event }) => event.name === name && isOurs(event.args))
        .map(({ log: { blockNumber: block, transactionHash }, event: { args } }) => {
          const fragment = name === 'ProxyTransferRefused' ? proxyTransferInterface.getError(args['reason'] as string) : undefined
          const reason = fragment ? errorCodeOf(fragment.name) : 'CONTRACT_REVERTED'
          return { digest: (args['digest'] as string).slice(2), txid: transactionHash.slice(2), block, reason }
        })
        .sort(byDigest)
    const done = of('ProxyTransferred', (args) => idOf(args['proxyAccount']) === ownAccount)
    // Anybody can hand in our transfers, and is refused.
    const refused = of('ProxyTransferRefused', (args) => args['caller'] === own)
    if (done.length > 0) {
      const { rows } = await statement<{ digest: string }>`select digest from des_chain_transfers
        where digest = any(${done.map(({ digest }) => digest)}::text[]) and state = 'refused'`.execute(tx)
      for (const { digest } of rows) log.error('a transfer that was told as refused has happened', { digest })
      await statement`insert into des_chain_transfers (digest, expiration, state, txid, block, created_at)
        select digest, 0, 'done', txid, block, ${clock.now()}::int8 from ${listed(done)}
        on conflict (digest) do update set state = 'done', txid = excluded.txid, block = excluded.block, reason = null`.execute(
            tx,
          )
    }
    if (refused.length > 0) {
      await statement`update des_chain_transfers t set state = 'refused', reason = n.reason, txid = n.txid, block = n.block
        from ${listed(refused)} where t.digest = n.digest and t.state in ('waiting', 'sent')`.execute(tx)
    }
  }

  // ----------------------------------------------------------------------------------------------------------- money

  /** Books the money that logs have moved. */
  async function move(tx: Tx, entries: readonly Entry[], at: number): Promise<void> {
    const planned: (Entry & { readonly postings: readonly Posting[] })[] = []
    for (const entry of entries) {
      const postings = await postingsOf(tx, entry.event)
      if (postings.length > 0) planned.push({ ...entry, postings })
    }
    if (planned.length === 0) return
    const { rows } = await statement<{ id: bigint; log: number }>`insert into des_chain_entries (block, block_hash, log, postings)
      select * from unnest(
        ${planned.map((each) => each.log.blockNumber)}::int8[], ${planned.map((each) => each.log.blockHash)}::text[],
        ${planned.map((each) => each.log.index)}::int[],
        ${planned.map(({ postings }) =>
          JSON.stringify(postings.map(({ account, amount }) => [String(account), String(amount)])),
        )}::jsonb[])
      on conflict (block_hash, log) do nothing returning id, log`.execute(tx)
    const ids = new Map(rows.map((row) => [row.log, row.id]))
    const fresh = planned.flatMap((each): Movement[] => {
      const id = ids.get(each.log.index)
      return id === undefined ? [] : [{ ...each, id }]
    })
    // What was set apart for a transfer pays for it, if it still is.
    const transfers = fresh.filter(({ event }) => event.name === 'ProxyTransferred')
    const captures = transfers.map(({ event, postings }) => ({
      holdKey: holdKey((event.args['digest'] as string).slice(2)),
      postings,
      memo: memoOf(event),
    }))
    const outcomes = captures.length > 0 ? await ledger.captureAll(tx, captures) : []
    const captured = new Set(transfers.filter((_, i) => 'done' in outcomes[i]! && outcomes[i].done))
    for (const movement of fresh) {
      const { id, log, event, postings } = movement
      if (!captured.has(movement)) await post(tx, { key: entryKey(id), postings, memo: `${event.name} ${log.transactionHash}` })
      if (event.name === 'Deposited') await noteIncome(tx, movement, at)
    }
  }

  async function noteIncome(tx: Tx, { event: { args }, id }: Movement, at: number): Promise<void> {
    await statement`insert into des_incomes (key, account, asset, amount, at) values (${entryKey(id)}, ${idOf(args['account'])},
      ${assetOf(args['asset'])}, ${args['amount'] as bigint}::numeric, ${at})`.execute(tx)
  }

  async function postingsOf(tx: Tx, { name, args }: ChainEvent): Promise<readonly Posting[]> {
    if (!['Deposited', 'Taken', 'ProxyTransferred'].includes(name)) return []
    const asset = assetOf(args['asset'])
    const amount = args['amount'] as bigint
    const account = (key: string): Promise<bigint> => ledgerAccount(ledger, tx, idOf(args[key]), asset)
    if (name !== 'ProxyTransferred') {
      const change = name === 'Deposited' ? amount : -amount
      return merged([
        [await account('account'), change],
        [await worldAccount(ledger, tx, asset), -change],
      ])
    }
    const commission = args['commission'] as bigint
    return merged([
      [await account('from'), -amount],
      [await account('to'), amount - commission],
      [await account('proxyAccount'), commission],
    ])
  }

  /** Posts what has happened, whatever was set apart: what was announced to be taken gives way, then the newest holds. */
  async function post(tx: Tx, entry: LedgerEntry): Promise<void> {
    for (;;) {
      try {
        await ledger.post(tx, entry)
        return
      } catch (error) {
        if (!isSluiceError(error, 'BALANCE_SHORT')) throw error
        const { account } = error.details as { account: bigint }
        if (!(await makeRoom(tx, account, -entry.postings.find((each) => each.account === account)!.amount))) throw error
      }
    }
  }

  /** @returns whether something has given way. */
  async function makeRoom(tx: Tx, account: bigint, amount: bigint): Promise<boolean> {
    const { rows } = await statement<{ hold: string }>`with plan as materialized (
        select books, hold from des_chain_plans where books = ${account} and hold is not null for update
      ) update des_chain_plans p set held = 0, hold = null from plan where p.books = plan.books returning plan.hold`.execute(tx)
    const announced = await ledger.releaseAll(
      tx,
      rows.map(({ hold }) => hold),
    )
    const holds = (await ledger.releaseNewest(tx, account, amount)).length
    if (holds > 0) log.warn('the chain has moved what was set apart, the newest holds give way', { account, amount, holds })
    return announced + holds > 0
  }

  // ----------------------------------------------------------------------------------------------------------- plans

  /** Sets apart what an account will take out, as far as nobody else was promised it. */
  async function setAside(tx: Tx, account: AccountId, asset: AssetId): Promise<void> {
    const { rows } = await statement<{ amount: string; hold: string | null }>`select amount, hold from des_chain_plans
      where account = ${account} and asset = ${asset} for update`.execute(tx)
    const [plan] = rows
    if (!plan) return
    const number = await ledgerAccount(ledger, tx, account, asset)
    // From here on the account is locked, if there was a hold; else somebody may be quicker.
    if (plan.hold !== null) await ledger.releaseAll(tx, [plan.hold])
    const { available } = await ledger.balance(tx, number)
    const held = available < BigInt(plan.amount) ? available : BigInt(plan.amount)
    let hold: string | null = null
    if (held > 0n) {
      const next = await statement<{ number: bigint }>`select nextval('des_chain_plan_holds') as number`.execute(tx)
      hold = `${PLAN_HOLD}${next.rows[0]!.number}`
      await ledger.hold(tx, { key: hold, account: number, amount: held, expiresAt: Number.MAX_SAFE_INTEGER })
    }
    await statement`update des_chain_plans set held = ${held}::numeric, hold = ${hold}
      where account = ${account} and asset = ${asset}`.execute(tx)
  }

  async function endPlan(tx: Tx, account: AccountId, asset: AssetId): Promise<void> {
    const { rows } = await statement<{ hold: string | null }>`delete from des_chain_plans
      where account = ${account} and asset = ${asset} returning hold`.execute(tx)
    const holds = rows.flatMap(({ hold }) => hold ?? [])
    if (holds.length > 0) await ledger.releaseAll(tx, holds)
  }

  // ---------------------------------------------------------------------------------------------------------- blocks

  async function onBlock(block: WatchedBlock): Promise<void> {
    const { timestamp } = block
    const late = statement`state in ('waiting', 'sent') and expiration <= ${timestamp}`
    const { rows } = await statement<{ late: boolean; plans: { account: AccountId; asset: AssetId }[] | null }>`
      select exists (select from des_chain_transfers where ${late}) as late,
        (select jsonb_agg(jsonb_build_object('account', account, 'asset', asset)) from des_chain_plans where held < amount) as plans
      `.execute(sql.db)
    if (rows[0]!.late) {
      await sql.transaction(async (tx) => {
        // All blocks from here on are later, and no earlier one has it.
        const ended = await statement<{ call: bigint | null }>`update des_chain_transfers
          set state = 'refused', reason = 'EXPIRATION_OUT_OF_RANGE' where ${late} returning call`.execute(tx)
        const calls = ended.rows.flatMap(({ call }) => call ?? [])
        await statement`update des_chain_calls c set ended_at = ${clock.now()}, data = '' where id = any(${calls}::int8[]) and ended_at is null
          and not exists (select from des_chain_transfers where call = c.id and state = 'sent')`.execute(tx)
        await tell(tx)
      })
    }
    for (const { account, asset } of rows[0]!.plans ?? []) {
      try {
        await sql.transaction((tx) => setAside(tx, account, asset))
      } catch (error) {
        if (!isSluiceError(error, 'BALANCE_SHORT')) throw error // somebody was quicker: at the next block
      }
    }
    await retention.prune(block)
  }

  /** Takes back what came from blocks that are no more. */
  async function onRollback(to: number): Promise<void> {
    booked = ''
    const block = await retention.rollBack(to)
    await sql.transaction(async (tx) => {
      const { rows } = await statement<{ id: bigint; postings: [string, string][] }>`delete from des_chain_entries
        where block > ${block} returning id, postings`.execute(tx)
      for (const { id, postings } of rows.sort((a, b) => (a.id < b.id ? 1 : -1))) {
        await post(tx, {
          key: `${entryKey(id)}/undone`,
          postings: postings.map(([account, amount]) => ({ account: BigInt(account), amount: -BigInt(amount) })),
        })
      }
      await statement`delete from des_incomes where key = any(${rows.map(({ id }) => entryKey(id))}::text[])`.execute(tx)
      await statement`delete from des_chain_keys where block > ${block}`.execute(tx)
      const plans = await statement<{
        hold: string | null
      }>`delete from des_chain_plans where block > ${block} returning hold`.execute(tx)
      await ledger.releaseAll(
        tx,
        plans.rows.flatMap(({ hold }) => hold ?? []),
      )
      // What was done is done again. What was told as refused is not: somebody counts on it.
      const undone = await statement<{ digest: string; item: bigint | null }>`update des_chain_transfers
        set state = case when item is null then state else 'waiting' end, call = null, txid = null, block = null, told = false
        where block > ${block} and state = 'done' returning digest, item`.execute(tx)
      const strange = undone.rows.flatMap(({ digest, item }) => (item === null ? digest : []))
      await statement`delete from des_chain_transfers where digest = any(${strange}::text[])`.execute(tx)
      await statement`update des_chain_anchors set call = null, txid = null, block = null where block > ${block}`.execute(tx)
      if (rows.length > 0)
        log.error('what was booked is no longer on the chain', { block, entries: rows.length, transfers: undone.rows.length })
    })
  }
}

const readTransferEvent = eventReader(proxyTransferInterface)
const readEvidenceEvent = eventReader(evidenceInterface)

/** As `parseLog` of ethers, which hashes the text of one event after another until one fits. */
function eventReader(face: Interface): (log: ChainLog) => ChainEvent | undefined {
  const byTopic = new Map<string, EventFragment>()
  face.forEachEvent((fragment) => byTopic.set(fragment.topicHash, fragment))
  return ({ topics, data }) => {
    const fragment = byTopic.get(topics[0]!)
    return fragment && { name: fragment.name, args: face.decodeEventLog(fragment, data, topics) }
  }
}

/** Rows `n` of a statement. */
function listed(transfers: readonly Transfer[]): RawBuilder<unknown> {
  return statement`unnest(${transfers.map(({ digest }) => digest)}::text[], ${transfers.map(({ txid }) => txid)}::text[],
    ${transfers.map(({ block }) => block)}::int8[], ${transfers.map(
      ({ reason }) => reason,
    )}::text[]) as n (digest, txid, block, reason)`
}

function entryKey(id: bigint): string {
  return `des/chain/${id}`
}

/** What a hold's capture is noted with: the proxy memo, which is a CID. */
function memoOf({ args }: ChainEvent): string {
  return new TextDecoder().decode(fromHex(args['proxyMemo'] as string)).replaceAll('\0', '')
}

/** One posting for each account; none that is nothing. */
function merged(changes: readonly (readonly [account: bigint, amount: bigint])[]): Posting[] {
  const sums = new Map<bigint, bigint>()
  for (const [account, amount] of changes) sums.set(account, (sums.get(account) ?? 0n) + amount)
  return [...sums].filter(([, amount]) => amount !== 0n).map(([account, amount]) => ({ account, amount }))
}

/** The 33 bytes of a key of 65. */
function compressed(key: Uint8Array): Uint8Array {
  const out = key.slice(0, 33)
  out[0] = 2 + (key[64]! & 1)
  return out
}
