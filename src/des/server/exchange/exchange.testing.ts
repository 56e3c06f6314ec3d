import {
  grapheneKey,
  seedSecret,
  signTransferParams,
  textDigest,
  type AccountId,
  type GrapheneKey,
  type TransferParams,
} from '../../../core/crypto/graphene/index.ts'
import { createHttpService, listenHttp, type HttpListener } from '../../../core/http/index.ts'
import { createSafeFetch, type SafeFetch } from '../../../core/http/safeFetch.ts'
import { createLedger } from '../../../core/ledger/index.ts'
import { systemClock, type Clock } from '../../../core/clock.ts'
import { silentLogger, type Logger } from '../../../core/log.ts'
import { migrate, type Sql } from '../../../core/sql/index.ts'
import { createTelemetry } from '../../../core/telemetry/index.ts'
import { createDatasource, type Datasource, type DatasourceOptions } from '../../datasource.ts'
import { createMerchant, type Merchant } from '../../merchant.ts'
import { readBy } from '../../wire/fields.ts'
import { sealData } from '../../seal/index.ts'
import {
  memoOf,
  readJson,
  sdkDialect,
  writeHeartbeat,
  writeJson,
  writePayload,
  writeRequest,
  type Dialect,
  type RequestItem,
} from '../../wire/index.ts'
import { sqlContentStore } from '../content/index.ts'
import type { ExchangeContext, ExchangeRules, Settlement } from '../context.ts'
import { migrations, type Database } from '../database.ts'
import { defaultRules } from '../rules.ts'
import { bind, bindingText } from '../market/accounts.ts'
import { createCategory } from '../market/categories.ts'
import { createProduct } from '../market/products.ts'
import { createBody } from '../market/schemas.ts'
import type { MarketUser } from '../market/user.ts'
import { createExchange, type Exchange } from './exchange.ts'
import { createLedgerSettlement, type LedgerSettlement } from './ledgerSettlement.ts'
import { exchangeRoutes } from './routes.ts'
import { beat } from './sources.ts'

/** One process of an exchange on a database, and who deals with it. */
export interface TestExchange {
  readonly context: ExchangeContext
  readonly exchange: Exchange
  readonly ledger: LedgerSettlement
  readonly listener: HttpListener
  /** An account with a key of its own, bound as a merchant, with this much GXC. */
  person(name: string, money?: bigint): Promise<Person>
  /** A data source of a product on a port of its own, online. */
  source(
    person: Person,
    productId: number,
    answer: DatasourceOptions['answer'],
    options?: Partial<DatasourceOptions>,
  ): Promise<TestSource>
  /** A product with these members. */
  product(issuer: Person, members?: readonly Person[], fields?: Record<string, unknown>): Promise<number>
  /** Says that a data source is online at this address, whoever answers there. */
  announce(person: Person, products: readonly number[], queryUrl: string): Promise<readonly number[]>
  /** What a client asks one data source: 1000 for it, which `change` changes before it is signed. */
  item(buyer: Person, seller: Person, change?: Partial<TransferParams>, nonce?: bigint): Promise<RequestItem>
  merchant(person: Person): Merchant
  /** What an account may spend, and has. */
  balance(account: AccountId): Promise<{ readonly posted: bigint; readonly available: bigint }>
  /** Sum of all balances of accounts. */
  total(): Promise<bigint>
  stop(): Promise<void>
}

/** Somebody with an account. */
export interface Person extends MarketUser {
  readonly key: GrapheneKey
}

/** A data source that runs. */
export interface TestSource {
  readonly datasource: Datasource
  readonly listener: HttpListener
  stop(): Promise<void>
}

/** Options of {@link startExchange}. */
export interface TestExchangeOptions {
  readonly rules?: Partial<ExchangeRules> | undefined
  readonly fetch?: SafeFetch | undefined
  readonly settlement?: Partial<Settlement> | undefined
  readonly log?: Logger | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** Whether it looks after what others left. @default true */
  readonly sweeps?: boolean | undefined
}

let people = 0

/** The body of a create request. */
export const bodyOf = (items: readonly RequestItem[], dialect: Dialect = sdkDialect): unknown =>
  readJson(writeJson(writeRequest(items, dialect)))

/** The code of what went wrong; undefined if nothing did. */
export const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: { readonly code?: string }) => error.code,
  )

/** Starts an exchange on a database; several may share one. */
export async function startExchange(database: Sql<unknown>, options: TestExchangeOptions = {}): Promise<TestExchange> {
  const sql = database as Sql<Database>
  await migrate(sql, 'des', migrations)
  const { clock = systemClock } = options
  const ledger = await createLedger(sql, { clock })
  const settlement = await createLedgerSettlement(sql, ledger, { clock })
  const key = grapheneKey(seedSecret('exchange'))
  const outbound = createSafeFetch({ allowPrivate: true })
  const context: ExchangeContext = {
    sql,
    ledger,
    settlement: { ...settlement, ...options.settlement },
    content: sqlContentStore(sql, { clock }),
    clock,
    log: options.log ?? silentLogger,
    telemetry: createTelemetry(),
    key,
    account: await settlement.openAccount(key.publicKey),
    percent: 1000,
    rules: {
      ...defaultRules,
      answerTimeout: 2_000,
      allowPrivateAddresses: true,
      ...options.rules,
    },
    notify: async () => {},
  }
  const exchange = createExchange(context, options.fetch ?? outbound.fetch)
  if (options.sweeps !== false) await exchange.start()
  const service = createHttpService({
    title: 'test',
    version: '1',
    description: 'test',
    routes: exchangeRoutes(context, exchange),
    readBody: readJson,
    writeBody: writeJson,
    maxRequests: 2000,
  })
  const listener = await listenHttp(service)
  const sources: TestSource[] = []
  const balance = (account: AccountId) =>
    sql.transaction(async (tx) => ledger.balance(tx, await settlement.ledgerAccount(tx, account, '1.3.1')))

  return {
    context,
    exchange,
    ledger: settlement,
    listener,
    balance,
    async person(name, money = 0n) {
      const own = grapheneKey(seedSecret(name))
      const account = await settlement.openAccount(own.publicKey)
      const merchantId = Number(account.slice(4))
      const binding = { accountId: account, merchantId, serviceUrl: 'http://source.example/', timestamp: clock.now() }
      await bind(context, { ...binding, signature: own.sign(textDigest(bindingText(binding))) })
      if (money > 0n) await settlement.deposit({ account, asset: '1.3.1', amount: money, key: `test ${name} ${people++}` })
      return { merchantId, account, key: own }
    },
    async product(issuer, members = [], fields = {}) {
      const category = await createCategory(context, { categoryName: `category ${people++}` })
      const { productId } = await createProduct(
        context,
        issuer,
        readBy(
          createBody,
          {
            productName: 'KYC',
            briefDesc: 'whether a name and a number belong together',
            voteThreshold: 0.5,
            categoryId: category.categoryId,
            price: { amount: 1000, assetId: '1.3.1' },
            privacy: false,
            input: { name: { type: 'string', desc: 'name', required: true } },
            output: { result: { type: 'boolean', desc: 'whether they do' } },
            ...fields,
          },
          'product',
        ),
      )
      for (const { merchantId } of members)
        await sql.db.insertInto('des_members').values({ product: productId, merchant: merchantId, since: clock.now() }).execute()
      return productId
    },
    async source({ account, key: own }, productId, answer, more = {}) {
      const serving = await listenHttp({ fetch: (request) => datasource.fetch(request) })
      const datasource: Datasource = createDatasource({
        account,
        key: own,
        baseUrl: listener.url,
        products: [{ productId, price: 0n }],
        serviceUrl: `${serving.url}/data/request`,
        desPublicKey: key.publicKey,
        answer,
        ...more,
      })
      await datasource.start()
      const source = {
        datasource,
        listener: serving,
        async stop() {
          datasource.stop()
          await serving.close()
        },
      }
      sources.push(source)
      return source
    },
    announce: ({ account, key: own }, products, queryUrl) =>
      beat(context, readJson(writeJson(writeHeartbeat({ account, products, timestamp: clock.now(), queryUrl }, own)))),
    async item(buyer, seller, change = {}, nonce = 7n) {
      const payload = writePayload({ params: { name: 'Alice' }, timestamp: clock.now() })
      const params: TransferParams = {
        from: buyer.account,
        to: seller.account,
        proxyAccount: context.account,
        percent: context.percent,
        amount: { amount: 1000n, assetId: '1.3.1' },
        memo: memoOf(payload),
        // Each another authorisation, also within one millisecond.
        expiration: Math.floor(clock.now() / 1000) + 600 + (people++ % 10_000),
        ...change,
      }
      const sealed = await sealData(buyer.key, seller.key.publicKey, { nonce }, payload)
      return { params: sealed, nonce, requestParams: signTransferParams(params, buyer.key) }
    },
    merchant: ({ account, key: own }) => createMerchant({ account, key: own, baseUrl: listener.url }),
    async total() {
      const rows = await sql.db
        .selectFrom('ledger_accounts' as never)
        .select(['posted' as never])
        .where('kind' as never, '=', 'money' as never)
        .execute()
      return rows.reduce((sum: bigint, row) => sum + BigInt((row as { posted: string }).posted), 0n)
    },
    async stop() {
      for (const source of sources) await source.stop()
      await listener.close()
      await exchange.stop()
      outbound.close()
    },
  }
}
