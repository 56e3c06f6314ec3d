import { grapheneKey, seedSecret, textDigest, type AccountId, type GrapheneKey } from '../../../core/crypto/graphene/index.ts'
import { toHex } from '../../../core/bytes.ts'
import { createLedger } from '../../../core/ledger/index.ts'
import { silentLogger } from '../../../core/log.ts'
import { createTelemetry } from '../../../core/telemetry/index.ts'
import { migrate, type Sql } from '../../../core/sql/index.ts'
import { createManualClock, type ManualClock } from '../../../testing/manualClock.ts'
import type { ExchangeContext, Notice } from '../context.ts'
import { migrations, type Database } from '../database.ts'
import { defaultRules } from '../rules.ts'
import { createNotifier } from '../notices/notifier.ts'
import { bind, bindingText } from './accounts.ts'
import { createCategory } from './categories.ts'
import { createProduct } from './products.ts'
import { createBody, type Binding, type NewProduct } from './schemas.ts'
import { readBy } from '../../wire/fields.ts'
import type { MarketUser } from './user.ts'

/** A market for tests: real SQL and a real ledger, a clock that stands still, keys by their accounts' names. */
export interface TestMarket {
  readonly context: ExchangeContext
  readonly clock: ManualClock
  /** What was notified, in order; also in transactions that were taken back. */
  readonly notices: Notice[]
  /** The key of an account. */
  keyOf(account: AccountId): GrapheneKey
  /** A binding that an account signed, as its body's JSON. */
  bindingOf(binding: Partial<Omit<Binding, 'signature'>> & { merchantId: number }): Record<string, unknown>
  /** Merchant `id`, bound to account `1.2.(100 + id)`. */
  join(id: number): Promise<MarketUser>
  /** A product of `issuer` with these fields beside the usual ones, and `others` as its members besides. */
  publish(issuer: MarketUser, fields?: Record<string, unknown>, others?: readonly MarketUser[]): Promise<number>
}

/** 2018-05-01T04:00:00Z: noon at UTC+8. */
export const START = Date.UTC(2018, 4, 1, 4)

/** The product of the seed's 1.3. */
export const sampleProduct = {
  productName: 'KYC认证',
  brieDesc: '123',
  voteThrehold: 0.7,
  categoryId: 1,
  price: { amount: 100000, assetId: '1.1' },
  privacy: false,
  input: {
    name: { type: 'string', desc: '姓名', required: true, sample: '张三' },
    idcard: { type: 'string', desc: '身份证号', required: true, sample: '330102128901016666' },
    photo: { type: 'string', desc: '自拍照base64', required: true, sample: '6Ieq5ouN54WnYmFzZTY0...' },
  },
  output: { result: { type: 'boolean', desc: '是否匹配', sample: true } },
}

/** Lays the tables in an empty database, and a category 1. */
export async function createTestMarket(empty: Sql<unknown>, rules: Partial<ExchangeContext['rules']> = {}): Promise<TestMarket> {
  const sql = empty as Sql<Database>
  await migrate(sql, 'des', migrations)
  const clock = createManualClock(START)
  const ledger = await createLedger(sql, { clock })
  const unused = (): never => {
    throw new Error('not part of the market')
  }
  const notices: Notice[] = []
  const notifier = createNotifier({ sql, clock, log: silentLogger, add: unused })
  const keyOf = (account: AccountId): GrapheneKey => grapheneKey(seedSecret(account))
  const context: ExchangeContext = {
    sql,
    ledger,
    clock,
    settlement: {
      publicKeyOf: async (account) => (account === '1.2.0' ? undefined : keyOf(account).publicKey),
      ledgerAccount: (tx, account, asset) => ledger.account(tx, { owner: account, asset }),
    },
    content: { put: unused, get: unused, dropBefore: unused },
    log: silentLogger,
    telemetry: createTelemetry(),
    key: keyOf('1.2.17'),
    account: '1.2.17',
    percent: 1000,
    rules: {
      ...defaultRules,
      allowPrivateAddresses: true,
      ...rules,
    },
    async notify(tx, notice) {
      await notifier.notify(tx, notice)
      notices.push(notice)
    },
  }
  await createCategory(context, { categoryName: '普惠金融' })

  const market: TestMarket = {
    context,
    clock,
    notices,
    keyOf,
    bindingOf({
      merchantId,
      accountId = `1.2.${100 + merchantId}`,
      serviceUrl = 'http://gxb.io/service',
      timestamp = clock.now(),
    }) {
      const binding = { accountId, merchantId, serviceUrl, timestamp }
      return { ...binding, signature: toHex(keyOf(accountId).sign(textDigest(bindingText(binding)))).slice(2) }
    },
    join(id) {
      const binding = {
        accountId: `1.2.${100 + id}` as const,
        merchantId: id,
        serviceUrl: `http://source-${id}.test/`,
        timestamp: clock.now(),
      }
      return bind(context, { ...binding, signature: keyOf(binding.accountId).sign(textDigest(bindingText(binding))) })
    },
    async publish(issuer, fields = {}, others = []) {
      const product: NewProduct = readBy(createBody, { ...sampleProduct, ...fields }, 'product')
      const { productId } = await createProduct(context, issuer, product)
      for (const { merchantId } of others) {
        await sql.db.insertInto('des_members').values({ product: productId, merchant: merchantId, since: clock.now() }).execute()
      }
      return productId
    },
  }
  return market
}
