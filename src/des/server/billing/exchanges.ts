/**
 * Exchanges one by one: what was paid for, and who with (seed 001, 1.12 and 1.13).
 * @module
 */
import { sql as statement } from 'kysely'
import type { AccountId, AssetId } from '../../../core/crypto/graphene/index.ts'
import type { ExchangeContext } from '../context.ts'
import type { Span } from './days.ts'

/** A page, as these calls number them. */
export interface PageNo {
  readonly pageNo: number
  readonly pageSize: number
}

/** A charge. */
export interface Charge {
  readonly id: bigint
  /** The request's name in hex. */
  readonly request: string
  readonly product: number
  /** As the product was called when it was asked. */
  readonly name: string
  readonly amount: string
  readonly asset: AssetId
  readonly ended_at: bigint
}

/** Which exchanges are looked for. */
export interface ExchangeFilter {
  readonly span: Span
  /** Who asked: the payer. */
  readonly toAccount?: AccountId | undefined
  /** In hex. */
  readonly request?: string | undefined
  /** 40 or 64 hex digits. */
  readonly txid?: string | undefined
}

/** An exchange. */
export interface Exchange {
  readonly id: bigint
  readonly request: string
  readonly payer: AccountId
  readonly payee: AccountId
  readonly txid: string | null
  readonly ended_at: bigint
}

/** What an account was charged, the newest first. */
export async function listCharges(
  { sql }: ExchangeContext,
  account: AccountId,
  { span, productId }: { readonly span: Span; readonly productId?: number | undefined },
  { pageNo, pageSize }: PageNo,
): Promise<{ rows: Charge[]; total: number }> {
  const asked = statement`payer = ${account} and state = 'SUCCESS' and ended_at >= ${span.from} and ended_at < ${span.to}
    ${productId === undefined ? statement`` : statement`and product = ${productId}`}`
  const { rows: counted } = await statement<{ total: bigint }>`select count(*) as total from des_items where ${asked}`.execute(
    sql.db,
  )
  const { rows } = await statement<Charge>`select i.id, i.request, i.product, v.name, i.amount, i.asset, i.ended_at from (
      select id, request, product, amount, asset, ended_at from des_items where ${asked}
      order by ended_at desc, id desc limit ${pageSize} offset ${(pageNo - 1) * pageSize}
    ) i join des_requests r on r.id = i.request join des_product_versions v on v.product = r.product and v.version = r.version
    order by i.ended_at desc, i.id desc`.execute(sql.db)
  return { rows, total: Number(counted[0]!.total) }
}

/** Exchanges that an account has bought or sold, the newest first. */
export async function listExchanges(
  { sql }: ExchangeContext,
  account: AccountId,
  { span, toAccount, request, txid }: ExchangeFilter,
  { pageNo, pageSize }: PageNo,
): Promise<{ rows: Exchange[]; total: number }> {
  const asked = statement`state = 'SUCCESS' and ended_at >= ${span.from} and ended_at < ${span.to}
    ${toAccount === undefined ? statement`` : statement`and payer = ${toAccount}`}
    ${request === undefined ? statement`` : statement`and request = ${request}`}
    ${txid === undefined ? statement`` : named(txid)}`
  // By itself each side is in the order of its index, and nobody is on both.
  const sides = [
    statement`payer = ${account} and ${asked}`,
    statement`payee = ${account} and payer <> ${account} and ${asked}`,
  ] as const
  const { rows: counted } = await statement<{ total: bigint }>`select (select count(*) from des_items where ${sides[0]})
    + (select count(*) from des_items where ${sides[1]}) as total`.execute(sql.db)
  const upTo = pageNo * pageSize
  const side = (which: 0 | 1) => statement`(select id, request, payer, payee, txid, ended_at from des_items where ${sides[which]}
    order by ended_at desc, id desc limit ${upTo})`
  const { rows } = await statement<Exchange>`select * from (${side(0)} union all ${side(1)}) both_sides
    order by ended_at desc, id desc limit ${pageSize} offset ${upTo - pageSize}`.execute(sql.db)
  return { rows, total: Number(counted[0]!.total) }
}

/** GXChain's transactions are named by 40 digits, an EVM's by 64; either is found by its first 40. */
function named(txid: string) {
  const short = statement`and left(txid, 40) = ${txid.slice(0, 40)}`
  return txid.length === 40 ? short : statement`${short} and (txid = ${txid} or length(txid) = 40)`
}
