import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { SluiceError, type ErrorCode } from '../../core/errors.ts'
import { createHttpService, route } from '../../core/http/index.ts'
import { bare, billEnvelope, clientCodes, envelope, paged } from './format.ts'

const asking = (accept?: string) => new Request('http://localhost/', { headers: accept === undefined ? {} : { accept } })
const failure = async (format: typeof envelope, code: ErrorCode, accept?: string) => {
  const answer = format.problem(new SluiceError(code, 'the sentence', { details: { field: 'x' } }), asking(accept))
  return {
    status: answer.status,
    type: answer.headers.get('content-type'),
    body: (await answer.json()) as Record<string, unknown>,
  }
}

describe('envelope', () => {
  it("is the seed's: with data, without, and with the rows of a page beside their number", () => {
    expect(envelope.answer({ categoryId: 1 })).toEqual({ code: 1, msg: '成功', data: { categoryId: 1 } })
    expect(envelope.answer(undefined)).toEqual({ code: 1, msg: '成功' })
    expect(envelope.answer({ data: [1], total: 15 })).toEqual({ code: 1, msg: '成功', data: [1], total: 15 })
    expect(envelope.answer({ data: [1], total: 15, more: true })).toEqual({
      code: 1,
      msg: '成功',
      data: { data: [1], total: 15, more: true },
    })
    expect(billEnvelope.answer([])).toEqual({ code: 1, msg: '', data: [], total: null })
    expect(billEnvelope.answer({ data: [], total: 0 })).toEqual({ code: 1, msg: '', data: [], total: 0 })
    const nested = { code: 0, msg: null, data: [], total: null }
    expect(billEnvelope.answer(nested)).toEqual({ code: 1, msg: '', data: nested, total: null })
  })

  it('documents what it writes', () => {
    for (const [format, schema, value] of [
      [envelope, v.number(), 5],
      [envelope, undefined, undefined],
      [envelope, paged(v.number()), { data: [1], total: 9 }],
      [billEnvelope, v.number(), 5],
      [billEnvelope, paged(v.number()), { data: [1], total: 9 }],
      [bare, v.number(), 5],
    ] as const) {
      const written =
        schema === undefined
          ? v.strictObject((format.schema(schema) as v.ObjectSchema<v.ObjectEntries, undefined>).entries)
          : format.schema(schema)!
      expect(v.parse(written, format.answer(value))).toEqual(format.answer(value))
    }
  })

  it('says of a failure its kind, a sentence and null, under the status', async () => {
    const codes = [
      'BAD_ARGUMENT',
      'UNAUTHENTICATED',
      'NOT_ALLOWED',
      'NO_SUCH_VOTE',
      'CONFLICT',
      'BALANCE_SHORT',
      'OVERLOADED',
      'SQL_FAILED',
    ] as const
    const all = await Promise.all(codes.map((code) => failure(envelope, code)))
    expect(all.map(({ status, body }) => [status, body.code])).toEqual([
      [400, -1],
      [401, -2],
      [403, -3],
      [404, -4],
      [409, -5],
      [402, -6],
      [503, -7],
      [500, 0],
    ])
    expect(all[0]).toEqual({ status: 400, type: 'application/json', body: { code: -1, msg: 'the sentence', data: null } })
    expect(JSON.stringify(all.at(-1))).not.toContain('the sentence')
  })
})

describe('bare', () => {
  it("names failures as GXChain's clients do", async () => {
    const codes: Partial<Record<ErrorCode, (typeof clientCodes)[number]>> = {
      BAD_ARGUMENT: 'INVALID_PARAMS',
      BAD_MESSAGE: 'INVALID_PARAMS',
      AUTHORISATION_USED: 'INVALID_PARAMS',
      PRODUCT_CHANGED: 'INVALID_PARAMS',
      ACCOUNT_NOT_FOUND: 'ACCOUNT_NOT_EXIST',
      NOT_ALLOWED: 'FORBIDDEN',
      UNAUTHENTICATED: 'FORBIDDEN',
      BALANCE_SHORT: 'BALANCE_NOT_ENOUGH',
      BAD_SIGNATURE: 'SIGNATURE_VERIFY_FAIL',
      TIMEOUT: 'TIME_OUT',
      SOURCE_OFFLINE: 'DATASOURCE_OFFLINE',
      NO_SUCH_PRODUCT: 'NOT_FOUND',
      OVERLOADED: 'DEFAULT_MESSAGE',
      SQL_FAILED: 'UNKNOWN_ERROR',
      RPC_FAILED: 'UNKNOWN_ERROR',
    }
    for (const [code, expected] of Object.entries(codes)) {
      expect((await failure(bare, code as ErrorCode)).body.code).toBe(expected)
    }
    expect((await failure(bare, 'TIMEOUT')).body).toEqual({ code: 'TIME_OUT', msg: 'the sentence' })
    expect(new Set(Object.values(codes))).toEqual(new Set(clientCodes))
  })
})

describe('problem details', () => {
  it('come to who names them, in either format', async () => {
    for (const format of [envelope, bare]) {
      const named = await failure(format, 'NO_SUCH_VOTE', 'text/html;q=0.5, Application/Problem+JSON; charset=utf-8')
      expect([named.status, named.type, named.body.code, named.body.details]).toEqual([
        404,
        'application/problem+json',
        'NO_SUCH_VOTE',
        { field: 'x' },
      ])
      for (const accept of [undefined, '*/*', 'application/json', 'application/problem+json;q=0']) {
        expect((await failure(format, 'NO_SUCH_VOTE', accept)).type).toBe('application/json')
      }
    }
  })

  it('are in the document beside the own form', () => {
    const service = createHttpService({
      routes: [route({ method: 'get', path: '/x', id: 'x', summary: 'x', access: 'public', format: bare, handle: () => 1 })],
      title: 'x',
      version: '1',
      description: '',
    })
    const { paths } = service.openapi as { paths: Record<string, { get: { responses: Record<string, { content: object }> } }> }
    expect(Object.keys(paths['/x']!.get.responses[500]!.content)).toEqual(['application/json', 'application/problem+json'])
  })
})
