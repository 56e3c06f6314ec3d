/**
 * What members see of votes (seed 001, 1.10 and 1.11): those of the products they are members of, and what they asked for.
 * @module
 */
import { sql as statement } from 'kysely'
import type * as v from 'valibot'
import type { ExchangeContext } from '../context.ts'
import { merchantAnswer } from './accounts.ts'
import type { voteAnswer, votesAnswer } from './answers.ts'
import type { Page } from './schemas.ts'
import { writeThreshold } from './tally.ts'
import type { MarketUser } from './user.ts'
import { versionAnswer, type VersionContent } from './versions.ts'
import { noVote, statusAt } from './votes.ts'

/** Which votes: 0 open and without one's own, 1 passed, 2 rejected. */
export type VoteFilter = 0 | 1 | 2

/** Lists votes, the newest first. @param productId `all` for those of all products. */
export async function listVotes(
  { sql, clock, rules }: ExchangeContext,
  { merchantId }: MarketUser,
  { productId, type }: { readonly productId: number | 'all'; readonly type: VoteFilter },
  { page, limit }: Page,
): Promise<v.InferInput<typeof votesAnswer>> {
  const now = clock.now()
  const asked = [
    statement<boolean>`v.status = 'INPROGRESS' and v.expires_at > ${now}
      and v.id in (select vote from des_ballots where merchant = ${merchantId} and agree is null)`,
    statement<boolean>`v.status = 'PASS'`,
    statement<boolean>`(v.status = 'REJECT' or v.status = 'INPROGRESS' and v.expires_at <= ${now})`,
  ]
  const from = sql.db
    .selectFrom('des_votes as v')
    .innerJoin('des_products as p', 'p.id', 'v.product')
    .innerJoin('des_product_versions as n', (join) => join.onRef('n.product', '=', 'p.id').onRef('n.version', '=', 'p.version'))
    .where(asked[type]!)
    .where(shownTo(merchantId))
    .$if(productId !== 'all', (all) => all.where('v.product', '=', productId as number))
  const { total } = await from.select(statement<bigint>`count(*)`.as('total')).executeTakeFirstOrThrow()
  const rows = await from
    .select(['v.id', 'v.product', 'n.name', 'v.created_at', 'v.status', 'v.expires_at', 'v.requester', 'v.type'])
    .orderBy('v.id', 'desc')
    .limit(limit)
    .offset((page - 1) * limit)
    .execute()
  const data = rows.map((row) => ({
    voteId: row.id,
    productId: row.product,
    productName: row.name,
    createDate: new Date(Number(row.created_at) + rules.billingOffset * 60_000).toISOString().slice(0, 19),
    status: statusAt(row, now),
    requester: row.requester,
    type: row.type,
  }))
  return { data, total: Number(total) }
}

/** Shows a vote. @throws `NO_SUCH_VOTE` also to who is neither a member of its product nor its requester. */
export async function voteDetail(
  { sql, clock }: ExchangeContext,
  { merchantId }: MarketUser,
  voteId: number,
): Promise<v.InferInput<typeof voteAnswer>> {
  const row = await sql.db
    .selectFrom('des_votes as v')
    .selectAll()
    .select([
      statement<bigint>`(select count(*) from des_ballots where vote = v.id and agree)`.as('agree'),
      statement<bigint>`(select count(*) from des_ballots where vote = v.id and not agree)`.as('disagree'),
    ])
    .where('v.id', '=', voteId)
    .where(shownTo(merchantId))
    .executeTakeFirst()
  if (!row) throw noVote(voteId)
  const common = {
    voteId: row.id,
    productId: row.product,
    status: statusAt(row, clock.now()),
    requester: row.requester,
    type: row.type,
    agreeCount: Number(row.agree),
    disagreeCount: Number(row.disagree),
    voterCount: row.voters,
    neededCount: row.needed,
    voteThreshold: writeThreshold(row.threshold),
    expireAt: Number(row.expires_at),
  }
  if (row.type === 'UPDATE_PRODUCT') {
    return { ...common, from: versionAnswer(row.before as VersionContent), to: versionAnswer(row.after as VersionContent) }
  }
  const members = await sql.db
    .selectFrom('des_merchants')
    .select(['id', 'authorizer', 'name', 'logo', 'website'])
    .where('id', 'in', row.invited)
    .orderBy('id')
    .execute()
  return { ...common, members: members.map(merchantAnswer) }
}

/** A vote `v` that a merchant may see. */
function shownTo(merchant: number) {
  return statement<boolean>`(v.requester = ${merchant} or v.product in (select product from des_members where merchant = ${merchant}))`
}
