import { expect, it } from 'vitest'
import { utf8 } from '../bytes.ts'
import { decodeRecord, encodeRecord, type TransactionRecord } from './transactionRecord.ts'

const record: TransactionRecord = {
  label: 'create order "1"',
  key: 'k',
  to: '0x00000000000000000000000000000000000A11cE',
  data: '0x1234',
  value: 2n ** 255n,
  gasLimit: 21000n,
  since: 7,
  nonce: 3,
  attempts: [{ hash: '0x01', raw: '0x02', fees: { max: 3n, tip: null } }],
  end: {
    error: { code: 'TRANSACTION_REVERTED', shortMessage: 'x', details: { fee: 5n, reason: undefined, nonce: 3 } },
  },
}

it('reads what it wrote', () => {
  expect(decodeRecord('0x01', encodeRecord(record))).toEqual({ ...record, version: 1 })
  const open = { ...record, key: undefined, nonce: undefined, end: undefined }
  expect(decodeRecord('0x01', encodeRecord(open))).toEqual({ ...open, version: 1 })
})

it.each([
  ['no text', new Uint8Array([0xff])],
  ['no JSON', utf8('{')],
  ['nothing', utf8('null')],
  ['another version', utf8(JSON.stringify({ version: 2, attempts: [{}] }))],
  ['no attempt', utf8(JSON.stringify({ version: 1, attempts: [] }))],
])('refuses %s', (_, bytes) => {
  expect(() => decodeRecord('transaction/0x01', bytes)).toThrow(
    expect.objectContaining({ code: 'STORE_CORRUPT', details: { name: 'transaction/0x01' } }),
  )
})
