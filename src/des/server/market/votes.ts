/**
 * Votes of a product's members: how one begins, is voted in, and ends.
 *
 * Whatever changes a product or its votes locks the product's row first. So of two votes at once one sees the other's, and a
 * vote is decided once.
 * @module
 */
import { sql as statement, type Selectable, type Transaction } from 'kysely'
import { SluiceError } from '../../../core/errors.ts'
import type { ExchangeContext } from '../context.ts'
import type { Database, ProductTable, VoteStatus, VoteTable, VoteType } from '../database.ts'
import { decide, neededOf } from './tally.ts'
import type { MarketUser } from './user.ts'
import { keepVersion, noProduct, type VersionContent } from './versions.ts'

type Tx = Transaction<Database>
/** A product whose row this transaction has locked. */
export type LockedProduct = Selectable<ProductTable>
type Vote = Selectable<VoteTable>

/** What a vote is to be about. */
export interface Motion {
  readonly type: VoteType
  /** Who wants it: `merchantId`. */
  readonly requester: number
  /** Who is to become a member; the requester itself where it applies. */
  readonly invited: readonly number[]
  readonly before?: VersionContent | undefined
  readonly after?: VersionContent | undefined
}

/** A vote that began, in the seed's names (1.4, 1.6); it is over if one voter was enough. */
export interface Opened {
  readonly voteId: number
  /** Milliseconds since 1970. */
  readonly expireAt: number
  readonly status: VoteStatus
}

/** How a vote ended: by votes, or by its time. */
type End = 'PASS' | 'REJECT' | 'expired'

/** Overdue votes that one run of {@link expireVotes} ends at most. */
const MAX_OVERDUE = 1000

/**
 * Locks a product for this transaction, and ends its votes that are overdue.
 * @throws `NO_SUCH_PRODUCT`
 */
export async function lockProduct(context: ExchangeContext, tx: Tx, id: number): Promise<LockedProduct> {
  const product = await tx.selectFrom('des_products').selectAll().where('id', '=', id).forNoKeyUpdate().executeTakeFirst()
  if (!product) throw noProduct(id)
  const overdue = await tx
    .selectFrom('des_votes')
    .selectAll()
    .where('product', '=', id)
    .where('status', '=', 'INPROGRESS')
    .where('expires_at', '<=', BigInt(context.clock.now()))
    .execute()
  for (const vote of overdue) await end(context, tx, product, vote, 'expired')
  return product
}

/** Begins a vote: its voters are the members of now. The requester, if it is one, has agreed. */
export async function openVote(context: ExchangeContext, tx: Tx, product: LockedProduct, motion: Motion): Promise<Opened> {
  const now = context.clock.now()
  const members = await tx
    .selectFrom('des_members')
    .select('merchant')
    .where('product', '=', product.id)
    .orderBy('merchant')
    .execute()
  const { before, after } = motion
  const vote = await tx
    .insertInto('des_votes')
    .values({
      product: product.id,
      type: motion.type,
      status: 'INPROGRESS',
      requester: motion.requester,
      invited: JSON.stringify(motion.invited),
      before: before ? JSON.stringify(before) : null,
      after: after ? JSON.stringify(after) : null,
      threshold: product.threshold,
      voters: members.length,
      needed: neededOf(product.threshold, members.length),
      created_at: now,
      expires_at: now + context.rules.voteLasts,
      ended_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  await tx
    .insertInto('des_ballots')
    .values(
      members.map(({ merchant }) => {
        const own = merchant === motion.requester
        return { vote: vote.id, merchant, agree: own ? true : null, voted_at: own ? now : null }
      }),
    )
    .execute()
  const others = members.map((each) => each.merchant).filter((merchant) => merchant !== motion.requester)
  await tell(context, tx, vote, 'vote.opened', others)
  return { voteId: vote.id, expireAt: Number(vote.expires_at), status: await settle(context, tx, product, vote) }
}

/**
 * Votes, once (seed 001, 1.7); the vote that decides also does what was voted for.
 * @throws `NO_SUCH_VOTE`; `NOT_ALLOWED` for who was no member when it began; `VOTE_ENDED` if it was decided or its time has
 * passed; `VOTED_ALREADY`.
 */
export async function vote(
  context: ExchangeContext,
  { merchantId }: MarketUser,
  { voteId, agree }: { readonly voteId: number; readonly agree: boolean },
): Promise<{ status: VoteStatus }> {
  const outcome = await context.sql.transaction(async (tx) => {
    const about = await tx.selectFrom('des_votes').select('product').where('id', '=', voteId).executeTakeFirst()
    if (!about) throw noVote(voteId)
    const product = await lockProduct(context, tx, about.product)
    const vote = await tx.selectFrom('des_votes').selectAll().where('id', '=', voteId).forUpdate().executeTakeFirstOrThrow()
    const ballot = await tx
      .selectFrom('des_ballots')
      .select('agree')
      .where('vote', '=', voteId)
      .where('merchant', '=', merchantId)
      .executeTakeFirst()
    const details = { voteId, merchantId }
    if (!ballot) throw new SluiceError('NOT_ALLOWED', `merchant ${merchantId} has no say in vote ${voteId}`, { details })
    // Thrown outside: the lock has ended it if its time has passed, and that is to stay.
    if (vote.status !== 'INPROGRESS') return new SluiceError('VOTE_ENDED', `vote ${voteId} is over`, { details })
    if (ballot.agree !== null)
      throw new SluiceError('VOTED_ALREADY', `merchant ${merchantId} has voted in vote ${voteId} already`, { details })
    await tx
      .updateTable('des_ballots')
      .set({ agree, voted_at: context.clock.now() })
      .where('vote', '=', voteId)
      .where('merchant', '=', merchantId)
      .execute()
    return { status: await settle(context, tx, product, vote) }
  })
  if (outcome instanceof SluiceError) throw outcome
  return outcome
}

/**
 * Ends votes whose time has passed: what a recurring job does. Readers see them rejected before it has.
 * @returns how many it looked after.
 */
export async function expireVotes(context: ExchangeContext): Promise<number> {
  const { sql, clock } = context
  const overdue = await sql.db
    .selectFrom('des_votes')
    .select('product')
    .where('status', '=', 'INPROGRESS')
    .where('expires_at', '<=', BigInt(clock.now()))
    .orderBy('expires_at')
    .limit(MAX_OVERDUE)
    .execute()
  for (const id of new Set(overdue.map((each) => each.product))) await sql.transaction((tx) => lockProduct(context, tx, id))
  return overdue.length
}

/** Where a vote stands at a time: rejected once its time has passed, also before that is written down. */
export function statusAt({ status, expires_at }: Pick<Vote, 'status' | 'expires_at'>, now: number): VoteStatus {
  return status === 'INPROGRESS' && expires_at <= BigInt(now) ? 'REJECT' : status
}

/** The error for a vote that there is not, or not for who asks. */
export function noVote(voteId: number): SluiceError {
  return new SluiceError('NO_SUCH_VOTE', `there is no vote ${voteId}`, { details: { voteId } })
}

/** Ends a vote if it is decided. */
async function settle(context: ExchangeContext, tx: Tx, product: LockedProduct, vote: Vote): Promise<VoteStatus> {
  const { agree, disagree } = await tx
    .selectFrom('des_ballots')
    .select([
      statement<bigint>`count(*) filter (where agree)`.as('agree'),
      statement<bigint>`count(*) filter (where not agree)`.as('disagree'),
    ])
    .where('vote', '=', vote.id)
    .executeTakeFirstOrThrow()
  const status = decide({ voters: vote.voters, needed: vote.needed, agree: Number(agree), disagree: Number(disagree) })
  if (status !== 'INPROGRESS') await end(context, tx, product, vote, status)
  return status
}

async function end(context: ExchangeContext, tx: Tx, product: LockedProduct, vote: Vote, how: End): Promise<void> {
  const now = context.clock.now()
  const status = how === 'PASS' ? 'PASS' : 'REJECT'
  await tx.updateTable('des_votes').set({ status, ended_at: now }).where('id', '=', vote.id).execute()
  if (how === 'PASS') await carryOut(context, tx, product, vote)
  // A vote that nobody ended says nothing against who applied.
  if (vote.type === 'APPLY' && how !== 'expired') await countRefusal(context, tx, vote.requester, how)

  const voters = await tx.selectFrom('des_ballots').select('merchant').where('vote', '=', vote.id).execute()
  const joined = how === 'PASS' ? vote.invited : []
  const concerned = new Set(
    [...voters.map((each) => each.merchant), vote.requester].filter((merchant) => !joined.includes(merchant)),
  )
  await tell(context, tx, vote, how === 'PASS' ? 'vote.passed' : how === 'REJECT' ? 'vote.rejected' : 'vote.expired', [
    ...concerned,
  ])
  await tell(context, tx, vote, 'member.joined', joined)
}

/** Does what was voted for. */
async function carryOut({ clock }: ExchangeContext, tx: Tx, product: LockedProduct, vote: Vote): Promise<void> {
  const now = clock.now()
  if (vote.type === 'UPDATE_PRODUCT') return changeProduct(tx, product, vote.after as VersionContent, now)
  await tx
    .insertInto('des_members')
    .values(vote.invited.map((merchant) => ({ product: product.id, merchant, since: now })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Makes a product's next version. */
export async function changeProduct(tx: Tx, { id, version }: LockedProduct, content: VersionContent, now: number): Promise<void> {
  await keepVersion(tx, id, version + 1, content, now)
  await tx
    .updateTable('des_products')
    .set({ version: version + 1 })
    .where('id', '=', id)
    .execute()
}

/** Counts applications refused in a row; the last of too many locks out and begins the count anew. */
async function countRefusal({ clock, rules }: ExchangeContext, tx: Tx, merchant: number, how: End): Promise<void> {
  if (how === 'PASS') {
    await tx.updateTable('des_merchants').set({ refusals: 0 }).where('id', '=', merchant).execute()
    return
  }
  const last = statement`refusals + 1 >= ${rules.refusals}`
  const count = statement`update des_merchants set refusals = case when ${last} then 0 else refusals + 1 end,
    locked_until = case when ${last} then ${clock.now() + rules.lockout}::int8 else locked_until end where id = ${merchant}`
  await count.execute(tx)
}

async function tell(context: ExchangeContext, tx: Tx, vote: Vote, kind: string, merchants: readonly number[]): Promise<void> {
  if (merchants.length === 0) return
  const { name } = await tx
    .selectFrom('des_products')
    .innerJoin('des_product_versions', (join) =>
      join
        .onRef('des_product_versions.product', '=', 'des_products.id')
        .onRef('des_product_versions.version', '=', 'des_products.version'),
    )
    .select('name')
    .where('des_products.id', '=', vote.product)
    .executeTakeFirstOrThrow()
  await context.notify(tx, {
    merchants,
    kind,
    details: {
      voteId: vote.id,
      productId: vote.product,
      productName: name,
      type: vote.type,
      requester: vote.requester,
      expireAt: Number(vote.expires_at),
    },
  })
}
