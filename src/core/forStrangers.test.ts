import { expect, test } from 'vitest'
import { SluiceError, type ErrorCode } from './errors.ts'
import { forStrangers } from './forStrangers.ts'

const secret = '/home/ann/secret and http://node.example/v3/key'

test.each<ErrorCode>(['STORE_FAILED', 'STORE_CORRUPT', 'SOURCE_FAILED', 'RPC_FAILED', 'SQL_FAILED', 'TIMEOUT', 'BAD_KEY', 'INSUFFICIENT_FUNDS'])(
  'of %s a stranger learns the code alone',
  (code) => {
    const said = forStrangers(new SluiceError(code, `it failed at ${secret}`, { cause: new Error(secret) }))
    expect(said.code).toBe(code)
    expect(JSON.stringify(said)).not.toMatch(/\/ann|node\.example/)
  },
)

test('a code that nobody has thought of says nothing', () => {
  expect(forStrangers(new SluiceError('NEW_CODE' as ErrorCode, secret)).message).not.toContain('/ann')
})

test('of what is no error of ours, nothing', () => {
  for (const error of [new TypeError(secret), secret, undefined, null, { code: 'X', message: secret }]) {
    expect(forStrangers(error)).toEqual({ code: 'PEER_REFUSED', message: 'a fault of its own' })
  }
})

test('a refusal says what is wrong with what the stranger sent', () => {
  const message = 'there is no item "x" here'
  expect(forStrangers(new SluiceError('NO_SUCH_ITEM', message))).toEqual({ code: 'NO_SUCH_ITEM', message })
})
