/**
 * How a product gets more members: they are invited, or apply (seed 001, 1.4).
 * @module
 */
import type { Transaction } from 'kysely'
import { SluiceError } from '../../../core/errors.ts'
import type { ExchangeContext } from '../context.ts'
import type { Database } from '../database.ts'
import type { MarketUser } from './user.ts'
import { lockProduct, openVote, type LockedProduct, type Opened } from './votes.ts'

/** Members of a product at most: what a client of the exchange reads in one answer. */
const MAX_MEMBERS = 1000
/** Open votes about invitations to a product at most. */
const MAX_INVITATIONS = 100

/**
 * Begins a vote about new members: a member invites others, anybody else applies for itself.
 * @param members `merchantId`s that a member invites; who is a member already is left out. Of no meaning to who applies.
 * @throws `NO_SUCH_PRODUCT`; `NOT_ALLOWED` in the free market; `ACCOUNT_NOT_FOUND` for an invited merchant that is not bound;
 * `CONFLICT` if the same vote is open already, or there is nobody to invite; `APPLICANT_LOCKED_OUT`.
 */
export async function addMembers(
  context: ExchangeContext,
  { merchantId }: MarketUser,
  productId: number,
  members: readonly number[],
): Promise<Opened> {
  return context.sql.transaction(async (tx) => {
    const product = await lockProduct(context, tx, productId)
    if (product.share_status === 1) {
      throw new SluiceError('NOT_ALLOWED', 'a product of the free market has one seller', { details: { productId } })
    }
    const present = await tx.selectFrom('des_members').select('merchant').where('product', '=', productId).execute()
    const isMember = (merchant: number): boolean => present.some((each) => each.merchant === merchant)
    const invites = isMember(merchantId)
    const invited = invites ? [...new Set(members)].filter((each) => !isMember(each)).sort((a, b) => a - b) : [merchantId]
    if (present.length + invited.length > MAX_MEMBERS) {
      throw new SluiceError('CONFLICT', `a product has at most ${MAX_MEMBERS} members`, {
        details: { productId, limit: MAX_MEMBERS },
      })
    }
    if (!invites) {
      await assertMayApply(context, tx, product, merchantId)
      return openVote(context, tx, product, { type: 'APPLY', requester: merchantId, invited })
    }
    if (invited.length === 0) {
      throw new SluiceError('CONFLICT', 'members must name somebody who is no member yet', {
        details: { field: 'members', productId },
      })
    }
    await assertBound(tx, invited)
    await assertNew(tx, product, invited)
    return openVote(context, tx, product, { type: 'ADD_MEMBER', requester: merchantId, invited })
  })
}

async function assertMayApply(
  { clock }: ExchangeContext,
  tx: Transaction<Database>,
  product: LockedProduct,
  merchant: number,
): Promise<void> {
  const row = await tx.selectFrom('des_merchants').select('locked_until').where('id', '=', merchant).executeTakeFirst()
  if (!row) throw notBound(merchant)
  const until = Number(row.locked_until)
  if (clock.now() < until) {
    throw new SluiceError('APPLICANT_LOCKED_OUT', 'too many applications were refused in a row', {
      details: { merchantId: merchant, until },
    })
  }
  const open = await tx
    .selectFrom('des_votes')
    .select('id')
    .where('product', '=', product.id)
    .where('requester', '=', merchant)
    .where('type', '=', 'APPLY')
    .where('status', '=', 'INPROGRESS')
    .executeTakeFirst()
  if (open) throw alreadyOpen(open.id)
}

async function assertBound(tx: Transaction<Database>, merchants: readonly number[]): Promise<void> {
  const bound = await tx.selectFrom('des_merchants').select('id').where('id', 'in', merchants).execute()
  const missing = merchants.find((merchant) => !bound.some((each) => each.id === merchant))
  if (missing !== undefined) throw notBound(missing)
}

async function assertNew(tx: Transaction<Database>, product: LockedProduct, invited: readonly number[]): Promise<void> {
  const open = await tx
    .selectFrom('des_votes')
    .select(['id', 'invited'])
    .where('product', '=', product.id)
    .where('type', '=', 'ADD_MEMBER')
    .where('status', '=', 'INPROGRESS')
    .execute()
  const same = open.find((each) => each.invited.join() === invited.join())
  if (same) throw alreadyOpen(same.id)
  if (open.length >= MAX_INVITATIONS) {
    throw new SluiceError('CONFLICT', `a product has at most ${MAX_INVITATIONS} open invitations`, {
      details: { limit: MAX_INVITATIONS },
    })
  }
}

const notBound = (merchantId: number) =>
  new SluiceError('ACCOUNT_NOT_FOUND', `merchant ${merchantId} is bound to no account`, {
    details: { field: 'members', merchantId },
  })

const alreadyOpen = (voteId: number) =>
  new SluiceError('CONFLICT', `vote ${voteId} about the same is open already`, { details: { voteId } })
