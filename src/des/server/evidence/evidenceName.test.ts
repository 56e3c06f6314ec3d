import { expect, it } from 'vitest'
import { cidOf } from '../content/cid.ts'
import { readCid } from './evidenceName.ts'

// `echo hello world | ipfs add -q`, the same by `ipfs cid format -v 1 -b base32`, and with the codec of bare bytes.
const QM = 'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o'
const BAFY = 'bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby'
const DIGEST = '46d44814b9c5af141c3aaab7c05dc5e844ead5f91f12858b021eba45768b4c0e'

it('reads the same block in each of its forms', async () => {
  expect(await cidOf(new TextEncoder().encode('hello world\n'))).toBe(QM)
  expect(readCid(QM)).toEqual({ digest: DIGEST, cid: QM, isRaw: false })
  expect(readCid(BAFY)).toEqual({ digest: DIGEST, cid: QM, isRaw: false })
  expect(readCid('bafkreicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby')).toEqual({ digest: DIGEST, cid: QM, isRaw: true })
})

it('reads nothing else', () => {
  for (const text of ['', 'Qm', DIGEST, QM.slice(0, -1), `${BAFY}a`, BAFY.replace('y', '1'), 'zb2rh']) {
    expect([text, readCid(text)]).toEqual([text, undefined])
  }
  // Other digests: BLAKE2b-256, and 31 bytes that say they are SHA-256.
  expect(readCid('bafykbzaceaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')).toBeUndefined()
  expect(readCid('bafkrehyaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')).toBeUndefined()
})
