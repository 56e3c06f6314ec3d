import { importBytes } from 'ipfs-unixfs-importer'
import { expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { CHUNK, cidOf, isCid } from './cid.ts'

const importer = async (bytes: Uint8Array): Promise<string> =>
  (await importBytes(bytes, { put: (cid) => cid }, { profile: 'unixfs-v0-2015' })).cid.toString()

it('knows what others call known bytes', () => {
  expect(cidOf(utf8('hello world\n'))).toBe('QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o')
  expect(cidOf(new Uint8Array(0))).toBe('QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH')
})

// The lengths where a length's own length changes, and where one block is full.
it.each([0, 1, 111, 112, 113, 119, 120, 127, 128, 16_368, 16_369, 16_383, 16_384, CHUNK - 1, CHUNK, CHUNK + 1])(
  'calls %i bytes as the importer of IPFS does',
  async (length) => {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 7) & 255)
    const cid = await cidOf(bytes)
    expect(cid).toBe(await importer(bytes))
    expect(isCid(cid)).toBe(true)
  },
)

it('does one block at once, fast enough to be in the way of nothing', () => {
  const bytes = new Uint8Array(1024)
  for (let i = 0; i < 200; i++) void cidOf(bytes)
  const start = performance.now()
  for (let i = 0; i < 500; i++) expect(typeof cidOf(bytes)).toBe('string')
  // Tens of microseconds; a millisecond leaves room for a busy machine.
  expect((performance.now() - start) / 500).toBeLessThan(1)
})

it('tells names from what is none', () => {
  for (const bad of ['', 'Qm', 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi', `Qm${'0'.repeat(44)}`])
    expect(isCid(bad)).toBe(false)
})
