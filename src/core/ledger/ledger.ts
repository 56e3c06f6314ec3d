import { sql as statement, type RawBuilder } from 'kysely'
import { type Clock, systemClock } from '../clock.ts'
import { assertArgument, isSluiceError, SluiceError } from '../errors.ts'
import { migrate } from '../sql/migrate.ts'
import type { Sql, Tx } from '../sql/sql.ts'
import { migrations } from './migrations.ts'

/**
 * What an account stands for. A `money` account never goes below zero. An `external` one stands for the world outside the
 * books (a chain, a bank) and may: its negative balance is what came in.
 */
export type AccountKind = 'money' | 'external'

/** Who has an account, in which asset. */
export interface AccountName {
  /** Any name that the caller keeps unique: `merchant:7`. */
  readonly owner: string
  /** Name of the asset whose smallest unit amounts are counted in: `GXC`. */
  readonly asset: string
  /** @default 'money' */
  readonly kind?: AccountKind | undefined
}

/** What a transaction does to one account. */
export interface Posting {
  /** The account's number, from {@link Ledger.account}. */
  readonly account: bigint
  /** In the smallest unit: above zero into the account, below zero out of it. */
  readonly amount: bigint
}

/** Postings that hold together. */
export interface LedgerEntry {
  /** Names it for good: the second post of a key changes nothing. */
  readonly key: string
  /** One per account, 2 to 1000; the sum of each asset is zero. */
  readonly postings: readonly Posting[]
  /** What it was for, for people. @default '' */
  readonly memo?: string | undefined
}

/** Money set apart on an account. */
export interface HoldRequest {
  /** Names it for good. */
  readonly key: string
  /** A money account. */
  readonly account: bigint
  /** Above zero, in the smallest unit. */
  readonly amount: bigint
  /** Milliseconds since 1970: from then on it can't be captured and no longer stands in the way. */
  readonly expiresAt: number
}

/** Postings against a hold. */
export interface Capture {
  readonly holdKey: string
  /** As in {@link LedgerEntry}; they take no more than the hold from its account. */
  readonly postings: readonly Posting[]
  /** @default '' */
  readonly memo?: string | undefined
}

/** The state of an account, in the smallest unit. */
export interface Balance {
  /** Sum of its postings. */
  readonly posted: bigint
  /** Sum of its holds that have neither ended nor expired. */
  readonly held: bigint
  /** `posted - held`: what can be posted out of it, or held. */
  readonly available: bigint
}

/** What a call with a key did: `done` is false when an earlier one with this key had done it already. */
export interface Outcome {
  readonly done: boolean
}

/**
 * A double-entry ledger in SQL. It owns all balances: the database refuses what would break them, whoever asks.
 *
 * All calls take the caller's transaction, so money moves with what it is for or not at all. An error leaves the
 * transaction usable, unless it is a `SQL_FAILED`.
 */
export interface Ledger {
  /** Number of an account, which is opened if need be. */
  account(tx: Tx, name: AccountName): Promise<bigint>
  /**
   * Posts an entry once.
   * @throws `POSTINGS_UNBALANCED`, `BALANCE_SHORT` (details name the account), `ACCOUNT_NOT_FOUND`; `KEY_REUSED` if the key
   * has other postings.
   */
  post(tx: Tx, entry: LedgerEntry): Promise<Outcome>
  /**
   * Sets money apart once. A hold of the same key, account and amount stays as it is.
   * @throws `BALANCE_SHORT`, `ACCOUNT_NOT_FOUND`, `KEY_REUSED`; `HOLD_EXPIRED` if `expiresAt` has passed.
   */
  hold(tx: Tx, hold: HoldRequest): Promise<Outcome>
  /**
   * Sets money apart for several purposes at once, each group of holds as a whole or not at all, as {@link Ledger.hold} does.
   * @returns for each group what it did, or what stood in its way.
   * @throws `KEY_REUSED` if somebody holds on another account by one of these keys at this very moment.
   */
  holdAll(tx: Tx, groups: readonly (readonly HoldRequest[])[]): Promise<readonly (Outcome | SluiceError)[]>
  /**
   * Posts against a hold and ends it; what the postings leave of it is free again.
   * @throws as {@link Ledger.post}; `HOLD_NOT_FOUND`; `HOLD_EXPIRED`; `HOLD_ENDED` if it was released; `BALANCE_SHORT` if
   * the postings take more than the hold; `KEY_REUSED` if it was captured by other postings.
   */
  capture(tx: Tx, holdKey: string, postings: readonly Posting[], memo?: string): Promise<Outcome>
  /**
   * Captures several holds at once, each as {@link Ledger.capture} does.
   * @returns for each what it did, or what stood in its way.
   */
  captureAll(tx: Tx, captures: readonly Capture[]): Promise<readonly (Outcome | SluiceError)[]>
  /**
   * Ends a hold without a posting.
   * @throws `HOLD_NOT_FOUND`; `HOLD_ENDED` if it was captured.
   */
  release(tx: Tx, holdKey: string): Promise<Outcome>
  /** Ends those of these holds that are still held, and tells how many. */
  releaseAll(tx: Tx, holdKeys: readonly string[]): Promise<number>
  /**
   * Ends holds of an account, the newest first, until `amount` is available or none is left: for money that goes whatever it
   * was promised to. Those that somebody else is ending at this moment are passed over.
   * @returns the keys of those that it ended.
   * @throws `ACCOUNT_NOT_FOUND`
   */
  releaseNewest(tx: Tx, account: bigint, amount: bigint): Promise<readonly string[]>
  /**
   * Releases holds that have expired, and tells how many.
   * @param limit how many at most; 1000 unless told.
   */
  expire(tx: Tx, limit?: number): Promise<number>
  /** @throws `ACCOUNT_NOT_FOUND`. */
  balance(tx: Tx, account: bigint): Promise<Balance>
}

/** Options of {@link createLedger}. */
export interface LedgerOptions {
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

interface AccountRow {
  readonly id: bigint
  readonly asset: string
  readonly kind: AccountKind
  readonly posted: string
  readonly held: string
}

/** An account that this transaction has to itself. */
interface LockedAccount extends AccountRow {
  /** What can still be given or held, by what this transaction plans. */
  left: bigint
}

/** Accounts that are locked. */
interface Accounts {
  /** @throws `ACCOUNT_NOT_FOUND` */
  get(id: bigint): LockedAccount
}

interface HoldRow {
  readonly account: bigint
  readonly amount: string
  readonly expires_at: bigint
  readonly state: 'held' | 'captured' | 'released'
}

/** Numbers of accounts that are remembered. */
const MAX_NUMBERS = 100_000

/** Postings of an entry at most. */
const MAX_POSTINGS = 1000

/** Characters of a key, a name or a memo at most. */
const MAX_TEXT = 1000

/** Holds looked at in one statement. */
const PAGE = 1000

/** Amounts lie within ±10^78, which holds every uint256. */
const LIMIT = 10n ** 78n

/** Opens the ledger of a database, laying its tables if need be. */
export async function createLedger<DB>(sql: Sql<DB>, { clock = systemClock }: LedgerOptions = {}): Promise<Ledger> {
  await migrate(sql, 'ledger', migrations)
  /** Numbers of accounts that are there for good. */
  const numbers = new Map<string, bigint>()
  /** Those that a transaction under way has opened. */
  const opened = new WeakMap<Tx, Set<string>>()

  /** Locks accounts in one order for all, so that transfers don't lock one another out. */
  const lock = async (tx: Tx, ids: Iterable<bigint>): Promise<Accounts> => {
    const { rows } = await statement<AccountRow>`select id, asset, kind, posted, held from ledger_accounts
      where id = any(${[...new Set(ids)]}::int8[]) order by id for no key update`.execute(tx)
    const accounts = new Map(rows.map((row) => [row.id, { ...row, left: BigInt(row.posted) - BigInt(row.held) }]))
    return {
      get(id) {
        const account = accounts.get(id)
        if (!account) throw noAccount(id)
        return account
      },
    }
  }

  /** Throws unless `account` can give `amount` beyond what it has given in this very transaction. */
  const assertAvailable = async (tx: Tx, account: LockedAccount, amount: bigint): Promise<void> => {
    if (account.kind === 'external' || account.left >= amount) return
    // Locked by the account, all but those that somebody else is ending right now.
    account.left += await endExpired(tx, statement`and account = ${account.id}`)
    const missing = amount - account.left
    if (missing <= 0n) return
    throw new SluiceError('BALANCE_SHORT', `account ${account.id} is ${missing} ${account.asset} short`, {
      details: { account: account.id, missing, asset: account.asset },
    })
  }

  /** Releases expired holds and gives their sum. */
  const endExpired = async (tx: Tx, where: RawBuilder<unknown>): Promise<bigint> => {
    const { rows } = await statement<{ sum: string | null }>`with ended as (
      update ledger_holds set state = 'released' where key in (
        select key from ledger_holds where state = 'held' and expires_at <= ${clock.now()} ${where} for update skip locked
      ) returning amount) select sum(amount) as sum from ended`.execute(tx)
    return BigInt(rows[0]?.sum ?? 0)
  }

  /** Whether the entry that is there already has these postings. */
  const assertSame = async (tx: Tx, key: string, where: RawBuilder<unknown>, postings: readonly Posting[]): Promise<void> => {
    const { rows } = await statement<{ account: bigint; amount: string }>`select p.account, p.amount from ledger_postings p
      join ledger_transactions t on t.id = p.transaction where ${where} order by p.account`.execute(tx)
    if (
      !samePostings(
        rows.map(({ account, amount }) => ({ account, amount: BigInt(amount) })),
        postings,
      )
    )
      throw reused(key)
  }

  const insert = async (
    tx: Tx,
    entries: readonly { readonly transaction: bigint; readonly postings: readonly Posting[] }[],
  ): Promise<void> => {
    const rows = entries.flatMap(({ transaction, postings }) => postings.map((posting) => ({ transaction, ...posting })))
    await statement`insert into ledger_postings (transaction, account, amount) select * from unnest(
      ${rows.map(({ transaction }) => transaction)}::int8[], ${rows.map(({ account }) => account)}::int8[],
      ${rows.map(({ amount }) => amount)}::numeric[])`.execute(tx)
  }

  const findHolds = async (tx: Tx, keys: readonly string[], lockThem = true): Promise<Map<string, HoldRow>> => {
    const { rows } = await statement<HoldRow & { key: string }>`select key, account, amount, expires_at, state from ledger_holds
      where key = any(${keys}::text[]) order by key ${statement.raw(lockThem ? 'for update' : '')}`.execute(tx)
    return new Map(rows.map((row) => [row.key, row]))
  }

  const end = (tx: Tx, keys: readonly string[], state: 'captured' | 'released'): Promise<unknown> =>
    statement`update ledger_holds set state = ${state} where key = any(${keys}::text[])`.execute(tx)

  const holdAll: Ledger['holdAll'] = async (tx, groups) => {
    const all = groups.flat()
    for (const { key, amount, expiresAt } of all) {
      assertText(key, 'key')
      assertArgument(amount > 0n && amount < LIMIT, 'amount', 'above zero and below 10^78')
      assertArgument(Number.isSafeInteger(expiresAt), 'expiresAt', 'whole milliseconds')
    }
    const accounts = await lock(
      tx,
      all.map(({ account }) => account),
    )
    const known = new Map<string, Pick<HoldRow, 'account' | 'amount'>>(
      await findHolds(
        tx,
        all.map(({ key }) => key),
        false,
      ),
    )
    const fresh: HoldRequest[] = []
    const planned = async (group: readonly HoldRequest[]): Promise<Outcome> => {
      const mine: HoldRequest[] = []
      for (const hold of group) {
        const { key, account: id, amount, expiresAt } = hold
        const account = accounts.get(id)
        assertArgument(account.kind === 'money', 'account', 'a money account')
        const before = known.get(key)
        if (before) {
          if (before.account !== id || BigInt(before.amount) !== amount) throw reused(key)
          continue
        }
        if (expiresAt <= clock.now()) throw expired(key, expiresAt)
        const others = mine.reduce((sum, each) => (each.account === id ? sum + each.amount : sum), 0n)
        await assertAvailable(tx, account, others + amount)
        mine.push(hold)
      }
      for (const { key, account, amount } of mine) {
        accounts.get(account).left -= amount
        known.set(key, { account, amount: `${amount}` })
      }
      fresh.push(...mine)
      return { done: mine.length > 0 }
    }
    const outcomes: (Outcome | SluiceError)[] = []
    for (const group of groups) outcomes.push(await planned(group).catch(refusal))
    if (fresh.length > 0) {
      const made = await statement`insert into ledger_holds (key, account, amount, expires_at, created_at)
        select *, ${clock.now()}::int8 from unnest(${fresh.map(({ key }) => key)}::text[], ${fresh.map(
          ({ account }) => account,
        )}::int8[],
          ${fresh.map(({ amount }) => amount)}::numeric[], ${fresh.map(({ expiresAt }) => expiresAt)}::int8[])
        on conflict (key) do nothing`.execute(tx)
      // Whoever holds on one of these accounts waits for us, so it is on another one.
      if (made.numAffectedRows !== BigInt(fresh.length)) throw reused(fresh.map(({ key }) => key).join(', '))
    }
    return outcomes
  }

  const captureAll: Ledger['captureAll'] = async (tx, captures) => {
    for (const { postings, memo = '' } of captures) {
      assertPostings(postings)
      assertMemo(memo)
    }
    const holds = await findHolds(
      tx,
      captures.map(({ holdKey }) => holdKey),
    )
    const accounts = await lock(tx, [
      ...[...holds.values()].map(({ account }) => account),
      ...captures.flatMap(({ postings }) => postings.map(({ account }) => account)),
    ])
    const fresh = new Map<string, Capture>()
    const planned = async (capture: Capture): Promise<Outcome> => {
      const { holdKey, postings } = capture
      const hold = holds.get(holdKey)
      if (!hold) throw noHold(holdKey)
      const twin = fresh.get(holdKey)
      if (twin) {
        if (!samePostings(twin.postings, postings)) throw reused(holdKey)
        return { done: false }
      }
      if (hold.state === 'captured') {
        await assertSame(tx, holdKey, statement`t.hold = ${holdKey}`, postings)
        return { done: false }
      }
      if (hold.state === 'released') throw ended(holdKey, hold)
      if (hold.expires_at <= BigInt(clock.now())) throw expired(holdKey, Number(hold.expires_at))
      assertBalanced(postings, accounts)
      for (const { account, amount } of postings) {
        if (account !== hold.account) await assertAvailable(tx, accounts.get(account), -amount)
        else if (-amount > BigInt(hold.amount)) {
          const missing = -amount - BigInt(hold.amount)
          throw new SluiceError('BALANCE_SHORT', `hold ${holdKey} is ${missing} short`, {
            details: { account, missing, holdKey },
          })
        }
      }
      for (const { account, amount } of postings) accounts.get(account).left += amount
      accounts.get(hold.account).left += BigInt(hold.amount)
      fresh.set(holdKey, capture)
      return { done: true }
    }
    const outcomes: (Outcome | SluiceError)[] = []
    for (const capture of captures) outcomes.push(await planned(capture).catch(refusal))
    if (fresh.size > 0) {
      await end(tx, [...fresh.keys()], 'captured')
      const { rows } = await statement<{ id: bigint; hold: string }>`insert into ledger_transactions (hold, memo, created_at)
        select *, ${clock.now()}::int8 from unnest(${[...fresh.keys()]}::text[], ${[...fresh.values()].map(
          ({ memo = '' }) => memo,
        )}::text[])
        returning id, hold`.execute(tx)
      await insert(
        tx,
        rows.map(({ id, hold }) => ({ transaction: id, postings: fresh.get(hold)!.postings })),
      )
    }
    return outcomes
  }

  return {
    async account(tx, { owner, asset, kind = 'money' }) {
      assertText(owner, 'owner')
      assertText(asset, 'asset')
      const name = `${kind}/${asset}/${owner}`
      const known = numbers.get(name)
      if (known !== undefined) return known
      const find = statement<{ id: bigint }>`select id from ledger_accounts
        where owner = ${owner} and asset = ${asset} and kind = ${kind}`
      const found = (await find.execute(tx)).rows[0]
      if (found) {
        // What this transaction has opened itself may still be undone.
        if (!opened.get(tx)?.has(name) && numbers.size < MAX_NUMBERS) numbers.set(name, found.id)
        return found.id
      }
      const made = await statement<{ id: bigint }>`insert into ledger_accounts (owner, asset, kind)
        values (${owner}, ${asset}, ${kind}) on conflict do nothing returning id`.execute(tx)
      if (!made.rows[0]) return (await find.execute(tx)).rows[0]!.id
      const mine = opened.get(tx) ?? new Set()
      opened.set(tx, mine.add(name))
      return made.rows[0].id
    },

    async post(tx, { key, postings, memo = '' }) {
      assertText(key, 'key')
      assertPostings(postings)
      assertMemo(memo)
      // The accounts come first: an error here leaves no key behind in the caller's transaction.
      const accounts = await lock(
        tx,
        postings.map((each) => each.account),
      )
      assertBalanced(postings, accounts)
      const known = await statement`select 1 from ledger_transactions where key = ${key}`.execute(tx)
      if (known.rows.length === 0) {
        for (const { account, amount } of postings) await assertAvailable(tx, accounts.get(account), -amount)
        const made = await statement<{ id: bigint }>`insert into ledger_transactions (key, memo, created_at)
          values (${key}, ${memo}, ${clock.now()}) on conflict (key) do nothing returning id`.execute(tx)
        if (made.rows[0]) {
          await insert(tx, [{ transaction: made.rows[0].id, postings }])
          return { done: true }
        }
      }
      await assertSame(tx, key, statement`t.key = ${key}`, postings)
      return { done: false }
    },

    holdAll,
    captureAll,

    hold: async (tx, request) => only(await holdAll(tx, [[request]])),
    capture: async (tx, holdKey, postings, memo) => only(await captureAll(tx, [{ holdKey, postings, memo }])),

    async release(tx, holdKey) {
      const hold = (await findHolds(tx, [holdKey])).get(holdKey)
      if (!hold) throw noHold(holdKey)
      if (hold.state === 'captured') throw ended(holdKey, hold)
      if (hold.state === 'released') return { done: false }
      await end(tx, [holdKey], 'released')
      return { done: true }
    },

    async releaseAll(tx, holdKeys) {
      const { numAffectedRows } = await statement`update ledger_holds set state = 'released' where key in (
        select key from ledger_holds where key = any(${holdKeys}::text[]) and state = 'held' order by key for update)`.execute(tx)
      return Number(numAffectedRows)
    },

    async releaseNewest(tx, id, amount) {
      const account = (await lock(tx, [id])).get(id)
      const released: string[] = []
      if (account.left < amount) account.left += await endExpired(tx, statement`and account = ${id}`)
      while (account.left < amount) {
        const { rows } = await statement<{ key: string; amount: string }>`select key, amount from ledger_holds
          where account = ${id} and state = 'held' order by created_at desc, key desc limit ${PAGE} for update skip locked`.execute(
            tx,
          )
        const keys: string[] = []
        for (const row of rows) {
          if (account.left >= amount) break
          account.left += BigInt(row.amount)
          keys.push(row.key)
        }
        if (keys.length > 0) await end(tx, keys, 'released')
        released.push(...keys)
        if (rows.length < PAGE) break
      }
      return released
    },

    async expire(tx, limit = 1000) {
      const { numAffectedRows } = await statement`update ledger_holds set state = 'released' where key in (
        select key from ledger_holds where state = 'held' and expires_at <= ${clock.now()}
        order by expires_at limit ${limit} for update skip locked)`.execute(tx)
      return Number(numAffectedRows)
    },

    async balance(tx, account) {
      const { rows } = await statement<{ posted: string; held: string; expired: string | null }>`select posted, held,
        (select sum(amount) from ledger_holds where account = a.id and state = 'held' and expires_at <= ${clock.now()}) as expired
        from ledger_accounts a where id = ${account}`.execute(tx)
      if (!rows[0]) throw noAccount(account)
      const posted = BigInt(rows[0].posted)
      const held = BigInt(rows[0].held) - BigInt(rows[0].expired ?? 0)
      return { posted, held, available: posted - held }
    },
  }
}

function assertText(text: string, name: string): void {
  assertArgument(text.length > 0 && text.length <= MAX_TEXT && !text.includes('\0'), name, `1 to ${MAX_TEXT} characters`)
}

function assertMemo(memo: string): void {
  assertArgument(memo.length <= MAX_TEXT && !memo.includes('\0'), 'memo', `${MAX_TEXT} characters at most`)
}

function assertPostings(postings: readonly Posting[]): void {
  assertArgument(postings.length >= 2 && postings.length <= MAX_POSTINGS, 'postings', `2 to ${MAX_POSTINGS}`)
  assertArgument(new Set(postings.map((each) => each.account)).size === postings.length, 'postings', 'of an account each')
  assertArgument(
    postings.every(({ amount: a }) => a !== 0n && a < LIMIT && a > -LIMIT),
    'postings',
    'not zero, and within 10^78',
  )
}

function assertBalanced(postings: readonly Posting[], accounts: Accounts): void {
  const sums = new Map<string, bigint>()
  for (const { account, amount } of postings) {
    const { asset } = accounts.get(account)
    sums.set(asset, (sums.get(asset) ?? 0n) + amount)
  }
  for (const [asset, sum] of sums) {
    if (sum !== 0n)
      throw new SluiceError('POSTINGS_UNBALANCED', `postings of ${asset} sum to ${sum}`, { details: { asset, sum } })
  }
}

function samePostings(some: readonly Posting[], others: readonly Posting[]): boolean {
  const amounts = new Map(some.map(({ account, amount }) => [account, amount]))
  return some.length === others.length && others.every(({ account, amount }) => amounts.get(account) === amount)
}

/** Of several at once, one may be refused without the others; what is no refusal concerns them all. */
function refusal(error: unknown): SluiceError {
  if (isSluiceError(error) && error.code !== 'SQL_FAILED') return error
  throw error
}

function only([outcome]: readonly (Outcome | SluiceError)[]): Outcome {
  if (outcome instanceof SluiceError) throw outcome
  return outcome!
}

const noAccount = (account: bigint) =>
  new SluiceError('ACCOUNT_NOT_FOUND', `there is no account ${account}`, { details: { account } })
const noHold = (key: string) => new SluiceError('HOLD_NOT_FOUND', `there is no hold ${key}`, { details: { key } })
const reused = (key: string) => new SluiceError('KEY_REUSED', `key ${key} stands for something else`, { details: { key } })
const ended = (key: string, { state }: HoldRow) =>
  new SluiceError('HOLD_ENDED', `hold ${key} was ${state}`, { details: { key, state } })
const expired = (key: string, expiresAt: number) =>
  new SluiceError('HOLD_EXPIRED', `hold ${key} has expired`, { details: { key, expiresAt } })
