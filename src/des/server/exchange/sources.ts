/**
 * Data sources: who is there, and what buyers are told of them.
 * @module
 */
import { sql as statement } from 'kysely'
import { SluiceError } from '../../../core/errors.ts'
import { createBatcher } from '../../../core/sql/batcher.ts'
import type { AccountId, AssetId } from '../../../core/crypto/graphene/index.ts'
import { HEARTBEAT_WINDOW, isTimely, readHeartbeat, verifyHeartbeat, type ProductAnswer } from '../../wire/index.ts'
import { millisecondsOf } from '../../wire/fields.ts'
import type { ExchangeContext } from '../context.ts'
import type { FieldSpecs } from '../database.ts'

/** A data source that can be asked. */
export interface Source {
  readonly account: AccountId
  readonly serviceUrl: string
  readonly suites: readonly number[]
}

/** A product, and who sells it. */
export interface ProductOnSale {
  readonly id: number
  readonly version: number
  readonly name: string
  readonly brief: string
  readonly category: number
  readonly price: bigint
  readonly asset: AssetId
  readonly privacy: boolean
  readonly input: FieldSpecs
  readonly output: FieldSpecs
  readonly issuer: number
  readonly members: readonly AccountId[]
  readonly online: readonly Source[]
}

/**
 * Takes a heartbeat (seed 2.1): the data source is online for the next 50 s, for those of its products that it may sell.
 * @param value after `readJson`.
 * @returns the products that count.
 * @throws `BAD_MESSAGE`; `ACCOUNT_NOT_FOUND`; `BAD_SIGNATURE`; `NOT_ALLOWED` for an account that isn't bound, a time beyond
 * the window or not above the last one's, or an account without any address.
 */
export async function beat({ sql, settlement, clock, rules }: ExchangeContext, value: unknown): Promise<readonly number[]> {
  const heartbeat = readHeartbeat(value)
  const { account, queryUrl, suites = [] } = heartbeat
  const publicKey = await settlement.publicKeyOf(account)
  if (publicKey === undefined) throw noAccount(account)
  verifyHeartbeat(heartbeat, publicKey)
  const now = clock.now()
  if (!isTimely(heartbeat, now, rules.clockSkew)) {
    throw new SluiceError('NOT_ALLOWED', `heartbeat.timestamp must be within ${HEARTBEAT_WINDOW} ms of ${now}`, {
      details: { field: 'heartbeat.timestamp', now },
    })
  }
  const merchant = await sql.db
    .selectFrom('des_merchants')
    .select(['id', 'service_url'])
    .where('account', '=', account)
    .executeTakeFirst()
  if (!merchant) throw new SluiceError('NOT_ALLOWED', `account ${account} is bound to no merchant`, { details: { account } })
  const serviceUrl = queryUrl ?? merchant.service_url
  if (serviceUrl === null)
    throw new SluiceError('NOT_ALLOWED', `account ${account} has no address to be asked at`, { details: { account } })
  const mine = await sql.db
    .selectFrom('des_members')
    .select('product')
    .where('merchant', '=', merchant.id)
    .where('product', 'in', heartbeat.products.length > 0 ? [...new Set(heartbeat.products)] : [-1])
    .orderBy('product')
    .execute()
  const products = mine.map(({ product }) => product)
  // A heartbeat is good once: whoever repeats it can't keep a data source online, or bring an old address back.
  const { numAffectedRows } =
    await statement`insert into des_datasources (account, timestamp, beat_at, service_url, products, suites)
    values (${account}, ${millisecondsOf(heartbeat.timestamp)}, ${now}, ${serviceUrl}, ${products}::int[], ${[...suites]}::int[])
    on conflict (account) do update set timestamp = excluded.timestamp, beat_at = excluded.beat_at, service_url = excluded.service_url,
      products = excluded.products, suites = excluded.suites
    where des_datasources.timestamp < excluded.timestamp`.execute(sql.db)
  if (numAffectedRows === 0n) {
    throw new SluiceError('NOT_ALLOWED', 'heartbeat.timestamp must be above the one before', {
      details: { field: 'heartbeat.timestamp' },
    })
  }
  return products
}

interface Row {
  readonly id: number
  readonly version: number
  readonly name: string
  readonly brief: string
  readonly category: number
  readonly price: string
  readonly asset: AssetId
  readonly privacy: boolean
  readonly input: FieldSpecs
  readonly output: FieldSpecs
  readonly issuer: number
  /** Members, the online ones with what is needed to ask them. */
  readonly members: readonly {
    readonly account: AccountId
    readonly url: string | null
    readonly suites: readonly number[] | null
  }[]
}

/** Looks up products; what is asked for at the same time, in one statement. */
export interface Catalogue {
  /** @throws `NO_SUCH_PRODUCT` */
  find(id: number): Promise<ProductOnSale>
}

/** Creates a {@link Catalogue}. */
export function createCatalogue(context: ExchangeContext): Catalogue {
  const lookups = createBatcher<number, ProductOnSale>({
    async run(ids) {
      const found = await productsOnSale(context, [...new Set(ids)])
      return ids.map(
        (id) => found.get(id) ?? new SluiceError('NO_SUCH_PRODUCT', `there is no product ${id}`, { details: { productId: id } }),
      )
    },
  })
  return { find: (id) => lookups.add(id) }
}

async function productsOnSale(
  { sql, clock, rules }: ExchangeContext,
  ids: readonly number[],
): Promise<ReadonlyMap<number, ProductOnSale>> {
  const since = clock.now() - rules.offlineAfter
  const { rows } =
    await statement<Row>`select p.id, p.version, p.issuer, v.name, v.brief, v.category, v.price, v.asset, v.privacy, v.input, v.output,
      coalesce((
        select json_agg(json_build_object('account', m.account, 'url', d.service_url, 'suites', d.suites) order by m.id)
        from des_members b join des_merchants m on m.id = b.merchant
        left join des_datasources d on d.account = m.account and d.beat_at > ${since} and p.id = any(d.products)
        where b.product = p.id
      ), '[]') as members
    from des_products p join des_product_versions v on v.product = p.id and v.version = p.version
    where p.id = any(${ids}::int[])`.execute(sql.db)
  return new Map(
    rows.map(({ price, members, ...rest }) => [
      rest.id,
      {
        ...rest,
        price: BigInt(price),
        members: members.map(({ account }) => account),
        online: members.flatMap(({ account, url, suites }) =>
          url === null ? [] : [{ account, serviceUrl: url, suites: suites ?? [] }],
        ),
      },
    ]),
  )
}

/** What a buyer is told of a product (seed 2.2). */
export async function productAnswer(
  { account, percent, settlement }: ExchangeContext,
  product: ProductOnSale,
): Promise<ProductAnswer> {
  const { id, version, name, brief, category, price, asset, members, issuer, privacy, input, output, online } = product
  // The settlement knows keys, and alone: one that was changed counts at once.
  const sources = await Promise.all(
    online.map(async ({ account: of, suites }) => {
      const publicKey = await settlement.publicKeyOf(of)
      return publicKey === undefined ? [] : [{ accountId: of, publicKey, ...(suites.length > 0 && { suites }) }]
    }),
  )
  return {
    product: {
      productId: id,
      version,
      productName: name,
      briefDesc: brief,
      categoryId: category,
      price: { amount: price, assetId: asset },
      datasources: members,
      issuer,
      privacy,
      input,
      output,
    },
    des: { accountId: account, percent },
    onlineDatasources: sources.flat(),
  }
}

/** Nobody has such an account. */
export function noAccount(account: string): SluiceError {
  return new SluiceError('ACCOUNT_NOT_FOUND', `there is no account ${account}`, { details: { account } })
}
