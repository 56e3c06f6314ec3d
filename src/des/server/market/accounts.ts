/**
 * Who takes part in the market: merchants, each bound to one account of the chain.
 * @module
 */
import { isSignedBy, textDigest } from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
import { millisecondsOf } from '../../wire/fields.ts'
import { isTimely } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import type { MerchantTable } from '../database.ts'
import { keepLogo, logoUrl, readLogo } from './logos.ts'
import type { Binding, Profile } from './schemas.ts'
import type { MarketUser } from './user.ts'

/** What others see of a merchant, in the seed's names (1.11). */
export interface MerchantAnswer {
  readonly merchantId: number
  readonly authorizerName: string
  readonly merchantName: string
  readonly logoUrl: string
  /** Its website. */
  readonly merchantAddress: string
}

/** The text that an account's key signs to be bound. The address is empty for who only buys. */
export function bindingText({ accountId, merchantId, serviceUrl, timestamp }: Omit<Binding, 'signature'>): string {
  return [accountId, merchantId, serviceUrl, timestamp].join('|')
}

/**
 * Binds an account to a merchant, or changes the service URL of a pair that is bound (seed 001, 1.1).
 *
 * The account's key says so: nobody need have signed in. A pair stays for good, and one binding can't be sent again after a
 * later one.
 * @throws `ACCOUNT_NOT_FOUND`; `BAD_SIGNATURE` if it is not the account's, or not of now; `CONFLICT` if the merchant or the
 * account is bound to another, or the pair was bound later than this says.
 */
export async function bind(context: ExchangeContext, binding: Binding): Promise<MarketUser> {
  const { sql, settlement, clock } = context
  const { accountId, merchantId, serviceUrl, timestamp, signature } = binding
  if (!isTimely({ account: accountId, products: [], timestamp }, clock.now())) {
    throw new SluiceError('BAD_SIGNATURE', 'timestamp must be within 3 seconds of now', {
      details: { field: 'timestamp', timestamp },
    })
  }
  // Not in the transaction: it may ask a chain.
  const publicKey = await settlement.publicKeyOf(accountId)
  if (publicKey === undefined) {
    throw new SluiceError('ACCOUNT_NOT_FOUND', `there is no account ${accountId}`, {
      details: { field: 'accountId', account: accountId },
    })
  }
  if (!isSignedBy(textDigest(bindingText(binding)), signature, publicKey)) {
    throw new SluiceError('BAD_SIGNATURE', `signature is not one of ${accountId}`, {
      details: { field: 'signature', account: accountId },
    })
  }
  const now = clock.now()
  const boundAt = millisecondsOf(timestamp)
  const url = serviceUrl === '' ? null : serviceUrl
  await sql.transaction(async (tx) => {
    const made = await tx
      .insertInto('des_merchants')
      .values({
        id: merchantId,
        account: accountId,
        service_url: url,
        bound_at: boundAt,
        name: '',
        authorizer: '',
        logo: null,
        website: '',
        email: null,
        refusals: 0,
        locked_until: 0,
        created_at: now,
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst()
    if (made.numInsertedOrUpdatedRows === 1n) return
    const moved = await tx
      .updateTable('des_merchants')
      .set({ service_url: url, bound_at: boundAt })
      .where('id', '=', merchantId)
      .where('account', '=', accountId)
      .where('bound_at', '<', BigInt(boundAt))
      .executeTakeFirst()
    if (moved.numUpdatedRows === 1n) return
    const known = await tx
      .selectFrom('des_merchants')
      .select(['id', 'account', 'service_url', 'bound_at'])
      .where((is) => is.or([is('id', '=', merchantId), is('account', '=', accountId)]))
      .execute()
    const [row] = known
    // The very same again does no harm: its answer was lost.
    if (row?.id === merchantId && row.account === accountId) {
      if (row.bound_at === BigInt(boundAt) && row.service_url === url) return
      throw new SluiceError('CONFLICT', 'timestamp must be later than that of the last binding', {
        details: { field: 'timestamp' },
      })
    }
    const field = known.some((each) => each.id === merchantId) ? 'merchantId' : 'accountId'
    throw new SluiceError('CONFLICT', `${field} is bound already, to another`, { details: { field } })
  })
  return { merchantId, account: accountId }
}

/** The merchant of an account: who signs in by it. Undefined if it is bound to none. */
export async function merchantOf({ sql }: ExchangeContext, account: MarketUser['account']): Promise<MarketUser | undefined> {
  const row = await sql.db.selectFrom('des_merchants').select('id').where('account', '=', account).executeTakeFirst()
  return row && { merchantId: row.id, account }
}

/** Changes what a merchant says of itself: what is left out stays, empty text takes away. */
export async function changeProfile(context: ExchangeContext, { merchantId }: MarketUser, profile: Profile): Promise<void> {
  const { merchantName, authorizerName, merchantAddress, email, logoImgBase64 } = profile
  const logo = logoImgBase64 ? readLogo(logoImgBase64) : undefined
  await context.sql.transaction(async (tx) => {
    const hash = logo && (await keepLogo(tx, logo))
    const changes = {
      ...(merchantName !== undefined && { name: merchantName }),
      ...(authorizerName !== undefined && { authorizer: authorizerName }),
      ...(merchantAddress !== undefined && { website: merchantAddress }),
      ...(email !== undefined && { email: email === '' ? null : email }),
      ...(logoImgBase64 !== undefined && { logo: hash ?? null }),
    }
    if (Object.keys(changes).length === 0) return
    await tx.updateTable('des_merchants').set(changes).where('id', '=', merchantId).execute()
  })
}

/** What a merchant sees of itself. @throws `NOT_FOUND` */
export async function profileOf({ sql }: ExchangeContext, { merchantId }: MarketUser) {
  const row = await sql.db.selectFrom('des_merchants').selectAll().where('id', '=', merchantId).executeTakeFirst()
  if (!row) throw new SluiceError('NOT_FOUND', `there is no merchant ${merchantId}`, { details: { merchantId } })
  return { ...merchantAnswer(row), accountId: row.account, serviceUrl: row.service_url ?? '', email: row.email ?? '' }
}

/** Writes what others see of a merchant. */
export function merchantAnswer(row: Pick<MerchantTable, 'id' | 'authorizer' | 'name' | 'logo' | 'website'>): MerchantAnswer {
  return {
    merchantId: row.id,
    authorizerName: row.authorizer,
    merchantName: row.name,
    logoUrl: logoUrl(row.logo),
    merchantAddress: row.website,
  }
}
