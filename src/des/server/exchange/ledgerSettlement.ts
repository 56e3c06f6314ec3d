import { sql as statement } from 'kysely'
import type { Clock } from '../../../core/clock.ts'
import {
  isAccountId,
  readPublicKey,
  type AccountId,
  type AssetId,
  type PublicKeyText,
} from '../../../core/crypto/graphene/index.ts'
import { assertArgument, SluiceError } from '../../../core/errors.ts'
import type { Ledger, Posting } from '../../../core/ledger/index.ts'
import { migrate, type Sql } from '../../../core/sql/index.ts'
import type { DueTransfer, Settlement, TransferEnd } from '../context.ts'
import type { Database } from '../database.ts'
import { holdKey } from './items.ts'

/** The accounts of an exchange without a chain: its operator keeps them. */
export interface ExchangeAccounts {
  /** Opens an account for a key, or tells which one it has. */
  openAccount(publicKey: string): Promise<AccountId>
  /** Books money that has come in. `key` names it for good: the second time changes nothing. @returns whether it was new. */
  deposit(request: MoneyRequest): Promise<boolean>
  /** Books money that goes out. @throws `BALANCE_SHORT` */
  take(request: MoneyRequest): Promise<boolean>
}

/** A settlement without a chain. */
export interface LedgerSettlement extends Settlement, ExchangeAccounts {}

/** Money that comes in or goes out. */
export interface MoneyRequest {
  readonly account: AccountId
  readonly asset: AssetId
  /** Above zero, in the asset's smallest unit. */
  readonly amount: bigint
  /** Names it for good: the number of the bank's transfer. */
  readonly key: string
}

/** Accounts that are remembered. */
const CACHE = 100_000

const migrations = [
  {
    name: 'accounts',
    up: `create table des_ledger_accounts (
      number int8 generated always as identity (start with 100) primary key, public_key text not null unique, created_at int8 not null
    )`,
  },
]

/** Creates a settlement that moves money in the exchange's own ledger: final with the transaction that does it. */
export async function createLedgerSettlement(
  sql: Sql<Database>,
  ledger: Ledger,
  { clock }: { readonly clock: Clock },
): Promise<LedgerSettlement> {
  await migrate(sql, 'des-ledger', migrations)
  /** Keys never change here. */
  const keys = new Map<AccountId, PublicKeyText>()
  const ledgerAccount: Settlement['ledgerAccount'] = (tx, account, asset) =>
    ledger.account(tx, { owner: `des/${account}`, asset })

  const move = async (direction: 1n | -1n, { account, asset, amount, key }: MoneyRequest): Promise<boolean> => {
    assertArgument(amount > 0n && amount < 2n ** 63n, 'amount', 'from 1 to 2^63 - 1')
    return sql.transaction(async (tx) => {
      const own = await ledgerAccount(tx, account, asset)
      const world = await ledger.account(tx, { owner: 'des/world', asset, kind: 'external' })
      const { done } = await ledger.post(tx, {
        key: `des/${direction > 0n ? 'in' : 'out'}/${key}`,
        postings: [
          { account: own, amount: direction * amount },
          { account: world, amount: -direction * amount },
        ],
      })
      if (done && direction > 0n)
        await tx.insertInto('des_incomes').values({ key, account, asset, amount, at: clock.now() }).execute()
      return done
    })
  }

  const openAccount = async (publicKey: string): Promise<AccountId> => {
    readPublicKey(publicKey)
    const { rows } = await statement<{ number: bigint }>`with made as (
      insert into des_ledger_accounts (public_key, created_at) values (${publicKey}, ${clock.now()}) on conflict do nothing returning number
    ) select number from made union all select number from des_ledger_accounts where public_key = ${publicKey} limit 1`.execute(
      sql.db,
    )
    return rows[0] ? `1.2.${rows[0].number}` : openAccount(publicKey) // somebody opened it at this moment
  }

  return {
    openAccount,
    deposit: (request) => move(1n, request),
    take: (request) => move(-1n, request),

    async publicKeyOf(account) {
      const known = keys.get(account)
      if (known !== undefined || !isAccountId(account)) return known
      const { rows } = await statement<{ public_key: PublicKeyText }>`
        select public_key from des_ledger_accounts where number = ${account.slice('1.2.'.length)}::int8`.execute(sql.db)
      const found = rows[0]?.public_key
      if (found !== undefined && keys.size < CACHE) keys.set(account, found)
      return found
    },

    ledgerAccount,

    async settle(tx, transfers) {
      const moved = transfers.filter(({ params }) => params.amount.amount > 0n)
      const captures = []
      for (const transfer of moved) {
        const { from, to, proxyAccount, amount } = transfer.params
        const [payer, payee, proxy] = [
          await ledgerAccount(tx, from, amount.assetId),
          await ledgerAccount(tx, to, amount.assetId),
          await ledgerAccount(tx, proxyAccount, amount.assetId),
        ]
        captures.push({
          holdKey: holdKey(transfer.digest),
          postings: postingsOf(transfer, payer, payee, proxy),
          memo: transfer.proxyMemo,
        })
      }
      const outcomes = captures.length > 0 ? await ledger.captureAll(tx, captures) : []
      const refusals = new Map(moved.map(({ item }, i) => [item, outcomes[i]]))
      return transfers.map(({ item, digest }): TransferEnd => {
        const outcome = refusals.get(item)
        return outcome instanceof SluiceError ? { is: 'refused', item, reason: outcome.code } : { is: 'done', item, txid: digest }
      })
    },
  }
}

/** What a transfer does to three accounts, of which some may be the same. Source: gxb-core's `proxy_transfer_evaluator`. */
function postingsOf({ params }: DueTransfer, payer: bigint, payee: bigint, proxy: bigint): Posting[] {
  const { amount } = params.amount
  const commission = (amount * BigInt(params.percent)) / 10_000n
  const sums = new Map<bigint, bigint>()
  for (const [account, change] of [
    [payer, -amount],
    [payee, amount - commission],
    [proxy, commission],
  ] as const)
    sums.set(account, (sums.get(account) ?? 0n) + change)
  return [...sums].filter(([, change]) => change !== 0n).map(([account, change]) => ({ account, amount: change }))
}
