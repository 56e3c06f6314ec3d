/**
 * What became of a request (seed 2.4).
 * @module
 */
import { sql as statement } from 'kysely'
import type { AccountId, PublicKeyText } from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
import { createBatcher } from '../../../core/sql/batcher.ts'
import type { Dialect, RequestResult, RequestState, SourceResult } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import type { ItemState } from '../database.ts'
import { isOver, wireState } from './items.ts'

/** A result, and how its client writes. */
export interface FoundResult {
  readonly result: RequestResult
  readonly dialect: Dialect
}

interface Row {
  readonly id: string
  readonly dialect: Dialect
  readonly total: number
  readonly product: number
  readonly payee: AccountId
  readonly state: ItemState
  readonly comment: string | null
  readonly cid: string | null
  readonly answer_nonce: string | null
  readonly answer_key: PublicKeyText | null
  readonly txid: string | null
}

/** Looks up requests; what is asked for at the same time, in one statement. */
export interface Results {
  /** Data is handed out once its transfer is final, and not before. @throws `NO_SUCH_REQUEST` */
  find(id: string): Promise<FoundResult>
}

/** Creates {@link Results}. */
export function createResults({ sql, content }: ExchangeContext): Results {
  const lookups = createBatcher<string, readonly Row[]>({
    async run(ids) {
      const { rows } =
        await statement<Row>`select r.id, r.dialect, r.total, r.product, i.payee, i.state, i.comment, i.cid, i.answer_nonce,
          i.answer_key, i.txid
        from des_requests r join des_items i on i.request = r.id where r.id = any(${[
          ...new Set(ids),
        ]}::text[]) order by i.position`.execute(sql.db)
      const found = new Map<string, Row[]>()
      for (const row of rows) found.set(row.id, [...(found.get(row.id) ?? []), row])
      return ids.map((id) => found.get(id) ?? noRequest(id))
    },
  })
  return {
    async find(id) {
      const rows = await lookups.add(id)
      const { dialect, total, product: productId } = rows[0]!
      const status = statusOf(rows.map(({ state }) => state))
      return { result: { status, total, productId, datasources: await Promise.all(rows.map(told)) }, dialect }
    },
  }

  async function told({ payee, state, comment, cid, answer_nonce, answer_key, txid }: Row): Promise<SourceResult> {
    const known = {
      status: wireState(state),
      datasource: payee,
      ...(comment !== null && { comment }),
      ...(txid !== null && { txid }),
    }
    if (state !== 'SUCCESS') return known
    const bytes = await content.get(cid!)
    // Clients expect data with SUCCESS: what is kept no longer is told as nothing, with the reason.
    if (!bytes) return { ...known, status: 'NONE', comment: 'the answer is not kept any more' }
    const data = new TextDecoder().decode(bytes)
    return { ...known, data, nonce: BigInt(answer_nonce!), datasourcePublicKey: answer_key! }
  }
}

/** Whether so many data sources have answered with data, and were paid. */
export function hasAnswers({ result }: FoundResult, enough: number): boolean {
  return result.datasources.filter(({ status }) => status === 'SUCCESS').length >= enough
}

/** @throws `missing`, by default `NO_SUCH_REQUEST` */
export async function assertRequest({ sql }: ExchangeContext, id: string, missing = noRequest(id)): Promise<void> {
  const found = await sql.db.selectFrom('des_requests').select('id').where('id', '=', id).executeTakeFirst()
  if (!found) throw missing
}

function noRequest(id: string): SluiceError {
  return new SluiceError('NO_SUCH_REQUEST', `there is no request ${id}`, { details: { requestId: id } })
}

/** `FAIL` when all have failed: a data source that has nothing to say has not. */
function statusOf(states: readonly ItemState[]): RequestState {
  if (!states.every(isOver)) return 'IN_PROGRESS'
  return states.some((state) => state === 'SUCCESS' || state === 'NONE') ? 'FINISHED' : 'FAIL'
}
