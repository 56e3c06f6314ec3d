/**
 * Asks data sources (seed 4.1).
 * @module
 */
import { utf8 } from '../../../core/bytes.ts'
import { type AccountId, type PublicKeyText, type SignedTransferParams } from '../../../core/crypto/graphene/index.ts'
import type { SluiceError } from '../../../core/errors.ts'
import { isSluiceError } from '../../../core/errors.ts'
import type { SafeFetch } from '../../../core/http/safeFetch.ts'
import { readJson, readSourceData, writeJson } from '../../wire/index.ts'
import { writeForward } from '../../wire/forward.ts'
import type { ExchangeContext } from '../context.ts'
import type { ItemState } from '../database.ts'

/** A question that this process has taken on. */
export interface Question {
  readonly item: bigint
  readonly request: string
  readonly digest: string
  readonly product: number
  readonly payer: AccountId
  /** The payer's, by which the authorisation was signed. */
  readonly payerKey: PublicKeyText
  readonly params: SignedTransferParams
  /** The input, sealed for the data source. */
  readonly sealed: string
  readonly nonce: bigint
  readonly serviceUrl: string
  /** Milliseconds that the data source has to answer. */
  readonly timeout: number
}

/** What came of a question. */
export type Reply =
  | { readonly is: 'answered'; readonly cid: string; readonly data: string; readonly nonce: bigint; readonly key: PublicKeyText }
  | {
    readonly is: 'over'
    readonly state: Extract<ItemState, 'NONE' | 'DATASOURCE_FAIL' | 'TIMEOUT' | 'FAIL'>
    readonly comment: string
  }

/** Bytes of an answer at most: 8 MiB of sealed data in hex, and what is around it. */
const MAX_ANSWER = 17 * 1024 * 1024

/** Asks a data source; what goes wrong there is a reply as well. @throws what the content store throws. */
export async function ask(context: ExchangeContext, fetch: SafeFetch, question: Question): Promise<Reply> {
  const { settlement, content, clock, key, log, telemetry } = context
  const { params, payer, payerKey, sealed, nonce, product, request, serviceUrl, timeout } = question
  const over = (state: (Reply & { is: 'over' })['state'], comment: string): Reply => ({ is: 'over', state, comment })
  const left = params.expiration * 1000 - clock.now()
  if (left <= 0) return over('FAIL', 'the authorisation has expired')
  let data
  try {
    const { body, headers } = writeForward(
      {
        params: sealed,
        nonce,
        publicKey: payerKey,
        productId: product,
        merchantAccountId: payer,
        requestId: request,
        requestParams: params,
        timestamp: clock.now(),
      },
      key,
    )
    const answer = await telemetry.call('des.forward', { 'des.product': product }, (trace) =>
      fetch(serviceUrl, {
        body: writeJson(body),
        headers: { ...trace, ...headers },
        timeout: Math.min(timeout, left),
        maxBytes: MAX_ANSWER,
      }),
    )
    // What comes with another status is not looked at, and nothing at all is no data.
    const text = answer.status === 200 ? new TextDecoder().decode(answer.bytes) : ''
    data = readSourceData(answer.status, text === '' ? {} : readJson(text))
  } catch (error) {
    if (!isSluiceError(error)) throw error
    log.info('a data source did not answer well', {
      request,
      datasource: params.to,
      code: error.code,
      reason: error.shortMessage,
    })
    if (error.code === 'TIMEOUT') return over('TIMEOUT', `no answer within ${Math.min(timeout, left)} ms`)
    return over('DATASOURCE_FAIL', commentOf(error))
  }
  if (!data) return over('NONE', 'the data source has nothing on this')
  const publicKey = await settlement.publicKeyOf(params.to)
  if (publicKey === undefined) return over('DATASOURCE_FAIL', 'the data source has no account any more')
  const cid = await content.put(utf8(data.data))
  return { is: 'answered', cid, data: data.data, nonce: data.nonce ?? nonce, key: publicKey }
}

/** What a buyer may know of a data source's failure: not its address. */
function commentOf(error: SluiceError): string {
  switch (error.code) {
    case 'ADDRESS_REFUSED':
      return 'the data source has no public address'
    case 'MESSAGE_TOO_LARGE':
      return 'the answer is too large'
    case 'BAD_MESSAGE':
      return error.shortMessage
    default:
      return 'the data source could not be reached'
  }
}
