/**
 * What an account has spent: sums over its exchanges that are paid for good, by the time at which they were (seed 001, 1.14 to
 * 1.17).
 *
 * The items are the only record: a bill is computed when it is asked for. Sums are of the amounts charged, since prices change.
 * @module
 */
import { sql as statement } from 'kysely'
import type { AccountId, AssetId } from '../../../core/crypto/graphene/index.ts'
import type { ExchangeContext } from '../context.ts'
import { DAY, dayOf, monthOf, type Span } from './days.ts'

/** Whose bill, in which asset: amounts of two assets have no sum. */
export interface BillOf {
  readonly account: AccountId
  readonly asset: AssetId
}

/** What was spent on a product; amounts in whole units. */
export interface ProductBill {
  readonly productId: number
  /** As it is called now. */
  readonly productName: string
  /** SHA-256 of its logo in hex; null for none. */
  readonly logo: string | null
  readonly transferCount: number
  /** What was charged last. */
  readonly unitPrice: bigint
  readonly consumeAmount: bigint
}

/** Sums of a time; amounts in whole units. */
export interface Totals {
  readonly consumeAmount: bigint
  readonly incomeAmount: bigint
  readonly transferCount: number
}

/** Days of {@link recentDays}. */
const RECENT = 30
/** All of time. */
const EVER: Span = { from: 0, to: Number.MAX_SAFE_INTEGER }

// Written out, not passed as a parameter: the index is of these rows alone.
const spent = ({ account, asset }: BillOf, { from, to }: Span) =>
  statement`payer = ${account} and state = 'SUCCESS' and ended_at >= ${from} and ended_at < ${to} and asset = ${asset}`

/** The bill of the month that a time is in, by product. */
export async function monthBill(context: ExchangeContext, of: BillOf, time: number): Promise<ProductBill[]> {
  return byProduct(context, of, monthOf(time, context.rules.billingOffset))
}

/** All that was spent, came in and was paid for in the month that a time is in. */
export async function monthTotals({ sql, rules }: ExchangeContext, of: BillOf, time: number): Promise<Totals> {
  const span = monthOf(time, rules.billingOffset)
  const { rows } = await statement<{
    consumed: string
    income: string
    count: bigint
  }>`select coalesce(sum(amount), 0) as consumed, count(*) as count,
    (select coalesce(sum(amount), 0) from des_incomes
      where account = ${of.account} and asset = ${of.asset} and at >= ${span.from} and at < ${span.to}) as income
    from des_items where ${spent(of, span)}`.execute(sql.db)
  const { consumed, income, count } = rows[0]!
  return { consumeAmount: BigInt(consumed), incomeAmount: BigInt(income), transferCount: Number(count) }
}

/** The last 30 days up to today, the newest first, also those on which nothing was spent. */
export async function recentDays(
  { sql, clock, rules }: ExchangeContext,
  of: BillOf,
): Promise<(Totals & { readonly date: number })[]> {
  const { billingOffset } = rules
  const today = dayOf(clock.now(), billingOffset)
  const span = { from: today - (RECENT - 1) * DAY, to: today + DAY }
  const { rows } = await statement<{ day: bigint; consumed: string; income: string; count: bigint }>`
    select day, sum(consumed) as consumed, sum(income) as income, sum(count)::int8 as count from (
      select (ended_at - ${span.from}::int8) / ${DAY}::int8 as day, sum(amount) as consumed, 0 as income, count(*) as count
        from des_items where ${spent(of, span)} group by 1
      union all
      select (at - ${span.from}::int8) / ${DAY}::int8, 0, sum(amount), 0 from des_incomes
        where account = ${of.account} and asset = ${of.asset} and at >= ${span.from} and at < ${span.to} group by 1
    ) both_sides group by day`.execute(sql.db)
  const known = new Map(rows.map((row) => [Number(row.day), row]))
  return Array.from({ length: RECENT }, (_, back) => {
    const row = known.get(RECENT - 1 - back)
    return {
      date: today - back * DAY,
      consumeAmount: BigInt(row?.consumed ?? 0),
      incomeAmount: BigInt(row?.income ?? 0),
      transferCount: Number(row?.count ?? 0),
    }
  })
}

/** All that was ever spent, by product, and on how many days: from that of the first charge to today, both counted. */
export async function overview(
  context: ExchangeContext,
  of: BillOf,
): Promise<{ products: ProductBill[]; consumeAmount: bigint; days: number }> {
  const { sql, clock, rules } = context
  const products = await byProduct(context, of, EVER)
  const { rows } = await statement<{ ended_at: bigint }>`select ended_at from des_items where ${spent(of, EVER)}
    order by ended_at limit 1`.execute(sql.db)
  const [first] = rows
  const dayNumber = (time: number): number => dayOf(time, rules.billingOffset) / DAY
  return {
    products,
    consumeAmount: products.reduce((sum, each) => sum + each.consumeAmount, 0n),
    days: first ? Math.max(1, dayNumber(clock.now()) - dayNumber(Number(first.ended_at)) + 1) : 0,
  }
}

/** What an account can spend now: what it has, less what is held for exchanges under way. */
export async function balanceOf({ sql, settlement, ledger }: ExchangeContext, { account, asset }: BillOf): Promise<bigint> {
  return sql.transaction(async (tx) => (await ledger.balance(tx, await settlement.ledgerAccount(tx, account, asset))).available)
}

async function byProduct({ sql }: ExchangeContext, of: BillOf, span: Span): Promise<ProductBill[]> {
  const { rows } = await statement<{
    product: number
    name: string
    logo: string | null
    count: bigint
    consumed: string
    price: string
  }>`
    with sums as materialized (
      select product, count(*) as count, sum(amount) as consumed, max(ended_at) as last from des_items where ${spent(
        of,
        span,
      )} group by product
    )
    select s.product, v.name, v.logo, s.count, s.consumed, l.amount as price from sums s
    join des_products p on p.id = s.product
    join des_product_versions v on v.product = p.id and v.version = p.version
    cross join lateral (
      select amount from des_items i where ${spent(
        of,
        span,
      )} and i.ended_at = s.last and i.product = s.product order by i.id desc limit 1
    ) l order by s.product`.execute(sql.db)
  return rows.map((row) => ({
    productId: row.product,
    productName: row.name,
    logo: row.logo,
    transferCount: Number(row.count),
    unitPrice: BigInt(row.price),
    consumeAmount: BigInt(row.consumed),
  }))
}
