import type { LogDescription } from 'ethers'
import { sql as statement } from 'kysely'
import { fromHex } from '../../../core/bytes.ts'
import type { ChainLog } from '../../../core/chain/chainLog.ts'
import { errorCodeOf } from '../../../core/chain/revert.ts'
import type { Rpc } from '../../../core/chain/rpc.ts'
import type { WatchedBlock, WatcherHandlers } from '../../../core/chain/watcher.ts'
import type { Clock } from '../../../core/clock.ts'
import { publicKeyText, type AccountId, type AssetId } from '../../../core/crypto/graphene/index.ts'
import { isSluiceError } from '../../../core/errors.ts'
import type { Ledger, Posting } from '../../../core/ledger/index.ts'
import type { Logger } from '../../../core/log.ts'
import type { Sql, Tx } from '../../../core/sql/index.ts'
import { evidenceInterface } from '../../../contracts/evidence.ts'
import { proxyTransferInterface } from '../../../contracts/proxyTransfer.ts'
import type { Database } from '../database.ts'
import { holdKey } from '../exchange/items.ts'
import { assetOf, idOf, ledgerAccount, worldAccount } from './names.ts'

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
  /** Tells the ends that are booked and not told yet, in the same transaction. */
  readonly tell: (tx: Tx) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

/** A log, and what it says. */
interface Entry {
  readonly log: ChainLog
  readonly event: LogDescription
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
  const { sql, ledger, rpc, logsOf, proxyTransfer, own, account: ownAccount, tell, clock, log } = options
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
      const face = each.address === proxyTransfer ? proxyTransferInterface : evidenceInterface
      const event = face.parseLog(each)
      return event ? [{ log: each, event }] : []
    })
    const at = entries.some(({ event }) => event.name === 'Deposited') ? await timeOf(entries[0]!.log.blockNumber) : 0
    await sql.transaction(async (tx) => {
      for (const entry of entries) await note(tx, entry)
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
        await statement`insert into des_chain_plans (account, asset, block, amount)
          values (${account}, ${asset}, ${blockNumber}, ${amount}::numeric)`.execute(tx)
        await setAside(tx, account, asset)
        return
      }
      case 'Taken':
        return endPlan(tx, idOf(args['account']), assetOf(args['asset']))
      case 'ProxyTransferred': {
        if (idOf(args['proxyAccount']) !== ownAccount) return
        const digest = (args['digest'] as string).slice(2)
        const { rows } = await statement<{
          state: string
        }>`select state from des_chain_transfers where digest = ${digest}`.execute(tx)
        if (rows[0]?.state === 'refused') log.error('a transfer that was told as refused has happened', { digest, txid })
        await statement`insert into des_chain_transfers (digest, expiration, state, txid, block, created_at)
          values (${digest}, 0, 'done', ${txid}, ${blockNumber}, ${clock.now()})
          on conflict (digest) do update set state = 'done', txid = excluded.txid, block = excluded.block, reason = null`.execute(
              tx,
            )
        return
      }
      case 'ProxyTransferRefused': {
        // Anybody can hand in our transfers, and is refused.
        if (args['caller'] !== own) return
        const fragment = proxyTransferInterface.getError(args['reason'] as string)
        const reason = fragment ? errorCodeOf(fragment.name) : 'CONTRACT_REVERTED'
        await statement`update des_chain_transfers set state = 'refused', reason = ${reason}, txid = ${txid}, block = ${blockNumber}
          where digest = ${(args['digest'] as string).slice(2)} and state in ('waiting', 'sent')`.execute(tx)
        return
      }
      case 'Anchored': {
        if (args['anchorer'] !== own) return
        await statement`insert into des_chain_anchors (root, size, txid, block)
          values (${(args['root'] as string).slice(2)}, ${args['size'] as bigint}, ${txid}, ${blockNumber})
          on conflict (root, size) do update set txid = excluded.txid, block = excluded.block`.execute(tx)
      }
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
      if (!captured.has(movement)) await post(tx, entryKey(movement.id), movement.postings)
      if (movement.event.name === 'Deposited') await noteIncome(tx, movement, at)
    }
  }

  async function noteIncome(tx: Tx, { event: { args }, id }: Movement, at: number): Promise<void> {
    await statement`insert into des_incomes (key, account, asset, amount, at) values (${entryKey(id)}, ${idOf(args['account'])},
      ${assetOf(args['asset'])}, ${args['amount'] as bigint}::numeric, ${at})`.execute(tx)
  }

  async function postingsOf(tx: Tx, { name, args }: LogDescription): Promise<readonly Posting[]> {
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

  /** Posts what has happened, whatever was set apart. */
  async function post(tx: Tx, key: string, postings: readonly Posting[]): Promise<void> {
    for (;;) {
      try {
        await ledger.post(tx, { key, postings })
        return
      } catch (error) {
        if (!isSluiceError(error, 'BALANCE_SHORT')) throw error
        const { account, missing } = error.details as { account: bigint; missing: bigint }
        if (!(await free(tx, account, missing))) throw error
      }
    }
  }

  /** Releases what is set apart on an account, the newest first: until that much is free, or nothing is left to release. */
  async function free(tx: Tx, account: bigint, missing: bigint): Promise<boolean> {
    const { rows } = await statement<{ key: string; amount: string }>`select key, amount from ledger_holds
      where account = ${account} and state = 'held'
      order by starts_with(key, ${PLAN_HOLD}) desc, created_at desc, key desc limit 1000`.execute(tx)
    const keys: string[] = []
    let sum = 0n
    for (const { key, amount } of rows) {
      if (sum >= missing) break
      keys.push(key)
      sum += BigInt(amount)
    }
    if (keys.length === 0) return false
    await statement`update des_chain_plans set held = 0, hold = null where hold = any(${keys}::text[])`.execute(tx)
    await ledger.releaseAll(tx, keys)
    log.warn('the chain has moved what was set apart, the newest holds give way', { account, missing, keys: keys.length })
    return true
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

  async function onBlock({ timestamp }: WatchedBlock): Promise<void> {
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
        await statement`update des_chain_calls c set ended_at = ${clock.now()} where id = any(${calls}::int8[]) and ended_at is null
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
  }

  /** Takes back what came from blocks that are no more. */
  async function onRollback(block: number): Promise<void> {
    booked = ''
    await sql.transaction(async (tx) => {
      const { rows } = await statement<{ id: bigint; postings: [string, string][] }>`delete from des_chain_entries
        where block > ${block} returning id, postings`.execute(tx)
      for (const { id, postings } of rows.sort((a, b) => (a.id < b.id ? 1 : -1))) {
        await post(
          tx,
          `${entryKey(id)}/undone`,
          postings.map(([account, amount]) => ({ account: BigInt(account), amount: -BigInt(amount) })),
        )
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

function entryKey(id: bigint): string {
  return `des/chain/${id}`
}

/** What a hold's capture is noted with: the proxy memo, which is a CID. */
function memoOf({ args }: LogDescription): string {
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
