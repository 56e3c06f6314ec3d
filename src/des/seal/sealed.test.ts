import { describe, expect, it } from 'vitest'
import vectors from '../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { toHex, utf8 } from '../../core/bytes.ts'
import { grapheneKey, keyFromWif, seedSecret } from '../../core/crypto/graphene/index.ts'
import { isSuite2, openSealed, sealData, type SealContext } from './index.ts'

const [alice, bob] = [grapheneKey(seedSecret('alice')), grapheneKey(seedSecret('bob'))]
const context: SealContext = { requestId: 'abc1', productId: 1, from: '1.2.20', to: '1.2.11' }
const nonce = 2n ** 63n - 1n
const badMessage: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE' })

describe('sealed data', () => {
  it.each([[{ nonce }, false], [{ context }, true]])('is sealed with %o and opened by what its text says', async (using, second) => {
    const sealed = await sealData(alice, bob.publicKey, using, utf8('text'))
    expect(isSuite2(sealed)).toBe(second)
    expect(toHex(await openSealed(bob, alice.publicKey, { nonce, context }, sealed))).toBe(toHex(utf8('text')))
    const other = { nonce: nonce - 1n, context: { ...context, productId: 2 } }
    await expect(openSealed(bob, alice.publicKey, other, sealed)).rejects.toEqual(badMessage)
  })

  it('is hex as in the vectors', async () => {
    const { from, to, nonce, plain, sealed } = vectors.ciphers[2]!
    const [merchant, source] = [keyFromWif(from), keyFromWif(to)]
    expect(await sealData(merchant, source.publicKey, { nonce: BigInt(nonce) }, utf8(plain))).toBe(sealed)
    const opened = await openSealed(source, merchant.publicKey, { nonce: BigInt(nonce), context }, sealed)
    expect(toHex(opened)).toBe(toHex(utf8(plain)))
  })

  it('is refused as any other text', async () => {
    for (const bad of ['', 'xx', 'HUI7==', '0x00', 'v3:00', 'V2:00', 'v2:00', 'abc']) {
      await expect(openSealed(bob, alice.publicKey, { nonce, context }, bad), bad).rejects.toEqual(badMessage)
    }
  })
})
