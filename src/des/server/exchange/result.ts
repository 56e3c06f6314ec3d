/**
 * What became of a request (seed 2.4).
 * @module
 */
import { sql as statement } from 'kysely'
import type { AccountId, PublicKeyText } from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
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

/** Looks up a request. Data is handed out once its transfer is final, and not before. @throws `NO_SUCH_REQUEST` */
export async function findResult({ sql, content }: ExchangeContext, id: string): Promise<FoundResult> {
  const { rows } =
    await statement<Row>`select r.dialect, r.total, r.product, i.payee, i.state, i.comment, i.cid, i.answer_nonce, i.answer_key, i.txid
    from des_requests r join des_items i on i.request = r.id where r.id = ${id} order by i.position`.execute(sql.db)
  if (!rows[0]) throw noRequest(id)
  const datasources = await Promise.all(
    rows.map(async (row): Promise<SourceResult> => {
      const { payee, state, comment, cid, answer_nonce, answer_key, txid } = row
      const status = wireState(state)
      const told = { status, datasource: payee, ...(comment !== null && { comment }), ...(txid !== null && { txid }) }
      if (state !== 'SUCCESS') return told
      const bytes = await content.get(cid!)
      // Clients expect data with SUCCESS: what is kept no longer is told as nothing, with the reason.
      if (!bytes) return { ...told, status: 'NONE', comment: 'the answer is not kept any more' }
      return {
        ...told,
        data: new TextDecoder().decode(bytes),
        nonce: BigInt(answer_nonce!),
        datasourcePublicKey: answer_key!,
      }
    }),
  )
  return {
    result: { status: statusOf(rows.map(({ state }) => state)), total: rows[0].total, productId: rows[0].product, datasources },
    dialect: rows[0].dialect,
  }
}

/** @throws `NO_SUCH_REQUEST` */
export async function assertRequest({ sql }: ExchangeContext, id: string): Promise<void> {
  const found = await sql.db.selectFrom('des_requests').select('id').where('id', '=', id).executeTakeFirst()
  if (!found) throw noRequest(id)
}

function noRequest(id: string): SluiceError {
  return new SluiceError('NO_SUCH_REQUEST', `there is no request ${id}`, { details: { requestId: id } })
}

/** `FAIL` when all have failed: a data source that has nothing to say has not. */
function statusOf(states: readonly ItemState[]): RequestState {
  if (!states.every(isOver)) return 'IN_PROGRESS'
  return states.some((state) => state === 'SUCCESS' || state === 'NONE') ? 'FINISHED' : 'FAIL'
}
