/**
 * The notification centre over HTTP.
 * @module
 */
import { sql as statement } from 'kysely'
import * as v from 'valibot'
import { route, type Route } from '../../../core/http/index.ts'
import { smallInteger } from '../../wire/fields.ts'
import type { ExchangeContext } from '../context.ts'
import { envelope, paged } from '../format.ts'
import { pageQuery } from '../market/schemas.ts'
import type { MarketUser } from '../market/user.ts'

/** Notices that are marked as read at once, at most. */
const MAX_READ = 1000

const noticesQuery = v.object({
  ...pageQuery,
  unread: v.pipe(
    v.optional(v.picklist(['0', '1', 'false', 'true'], 'must be 0 or 1'), '0'),
    v.transform((text) => text === '1' || text === 'true'),
  ),
})

const noticesAnswer = paged(
  v.object({
    noticeId: v.pipe(v.number(), v.integer()),
    kind: v.pipe(v.string(), v.description('vote.opened, vote.passed, vote.rejected, vote.expired, member.joined …')),
    details: v.record(v.string(), v.union([v.string(), v.number()])),
    gmtCreated: v.pipe(v.number(), v.integer(), v.description('Milliseconds since 1970')),
    read: v.boolean(),
  }),
)

const readBody = v.strictObject({
  noticeIds: v.union(
    [
      v.literal('all'),
      v.pipe(v.array(smallInteger(1), 'must be a list'), v.maxLength(MAX_READ, `must have at most ${MAX_READ} items`)),
    ],
    'must be a list of numbers, or all',
  ),
})

/** The routes of one's own notices. */
export function noticeRoutes({ sql, clock }: ExchangeContext): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/market/notices',
      id: 'listNotices',
      access: 'user',
      format: envelope,
      summary: "Lists one's notices, the newest first",
      query: noticesQuery,
      answer: noticesAnswer,
      async handle({ user, query: { unread, page, limit } }) {
        const from = sql.db
          .selectFrom('des_notices')
          .where('merchant', '=', (user as MarketUser).merchantId)
          .$if(unread, (all) => all.where('read_at', 'is', null))
        const { total } = await from.select(statement<bigint>`count(*)`.as('total')).executeTakeFirstOrThrow()
        const rows = await from
          .selectAll()
          .orderBy('id', 'desc')
          .limit(limit)
          .offset((page - 1) * limit)
          .execute()
        const data = rows.map((row) => ({
          noticeId: Number(row.id),
          kind: row.kind,
          details: { ...row.details },
          gmtCreated: Number(row.created_at),
          read: row.read_at !== null,
        }))
        return { data, total: Number(total) }
      },
    }),
    route({
      method: 'post',
      path: '/market/notices/read',
      id: 'readNotices',
      access: 'user',
      format: envelope,
      summary: 'Marks notices as read',
      body: readBody,
      async handle({ user, body: { noticeIds } }) {
        await sql.db
          .updateTable('des_notices')
          .set({ read_at: clock.now() })
          .where('merchant', '=', (user as MarketUser).merchantId)
          .where('read_at', 'is', null)
          .$if(noticeIds !== 'all', (all) => all.where('id', '=', statement<bigint>`any(${noticeIds as number[]}::int8[])`))
          .execute()
      },
    }),
  ]
}
