import { assertArgument, SluiceError } from '../../../core/errors.ts'
import type { Clock } from '../../../core/clock.ts'
import { createBatcher } from '../../../core/sql/batcher.ts'
import type { Sql } from '../../../core/sql/index.ts'
import type { ContentStore } from '../context.ts'
import type { Database } from '../database.ts'
import { cidOf, isCid } from './cid.ts'

/** Options of {@link sqlContentStore}. */
export interface SqlContentStoreOptions {
  /** Whose time contents are kept from. */
  readonly clock: Clock
}

/** Rows that one statement deletes: it shall not hold locks for long. */
const BATCH = 1_000

/** Keeps contents in the table `des_contents`, for exchanges without an IPFS node. */
export function sqlContentStore({ db }: Sql<Database>, { clock }: SqlContentStoreOptions): ContentStore {
  const puts = createBatcher<{ readonly cid: string; readonly bytes: Uint8Array }, void>({
    size: 64,
    async run(all) {
      const now = clock.now()
      await db
        .insertInto('des_contents')
        .values([...new Map(all.map(({ cid, bytes }) => [cid, { cid, bytes, created_at: now }])).values()])
        // Put again, it is kept as long as what is new.
        .onConflict((conflict) =>
          conflict.column('cid').doUpdateSet({ created_at: now }).where('des_contents.created_at', '<', BigInt(now)),
        )
        .execute()
      return all.map(() => undefined)
    },
  })

  const gets = createBatcher<string, Uint8Array | undefined>({
    size: 64,
    async run(cids) {
      const rows = await db
        .selectFrom('des_contents')
        .select(['cid', 'bytes'])
        .where('cid', 'in', [...new Set(cids)])
        .execute()
      const found = new Map(rows.map(({ cid, bytes }) => [cid, bytes]))
      return cids.map((cid) => found.get(cid))
    },
  })

  return {
    async put(bytes) {
      const cid = await cidOf(bytes)
      await puts.add({ cid, bytes })
      return cid
    },

    async get(cid) {
      assertArgument(isCid(cid), 'cid', 'a CIDv0')
      const bytes = await gets.add(cid)
      if (!bytes || (await cidOf(bytes)) === cid) return bytes
      throw new SluiceError('STORE_CORRUPT', `the content of ${cid} is not what was put`, { details: { cid } })
    },

    async dropBefore(time) {
      for (let dropped = 0; ; ) {
        const result = await db
          .deleteFrom('des_contents')
          .where('cid', 'in', (from) =>
            from
              .selectFrom('des_contents')
              .select('cid')
              .where('created_at', '<', BigInt(time))
              .orderBy('created_at')
              .limit(BATCH),
          )
          // Put again meanwhile, it stays.
          .where('created_at', '<', BigInt(time))
          .executeTakeFirst()
        dropped += Number(result.numDeletedRows)
        if (result.numDeletedRows < BATCH) return dropped
      }
    },
  }
}
