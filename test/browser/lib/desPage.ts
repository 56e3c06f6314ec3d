/**
 * What runs on a buyer's page: bundled by the test, called through `window.desPage`.
 * @module
 */
import { fromHex, toHex, utf8 } from '../../../src/core/bytes.ts'
import { decryptFrom, encryptFor, keyFromWif } from '../../../src/core/crypto/graphene/index.ts'
import { createMerchant, type PaidAnswers } from '../../../src/des/index.ts'
import vectors from '../../fixtures/des/vectors.json' with { type: 'json' }

export const desPage = {
  /** Opens and seals the vectors of suite 1; tells those that come out otherwise. */
  async ciphers(): Promise<string[]> {
    const flaws: string[] = []
    for (const { what, from, to, nonce, plain, sealed, unpadded, received } of vectors.ciphers) {
      const [sender, receiver] = [keyFromWif(from), keyFromWif(to)]
      const opened = await decryptFrom(receiver, sender.publicKey, BigInt(nonce), fromHex(`0x${sealed}`))
      if (toHex(opened) !== toHex(utf8(plain))) flaws.push(`opening ${what}`)
      if (unpadded || received) continue
      if (toHex(await encryptFor(sender, receiver.publicKey, BigInt(nonce), utf8(plain))) !== `0x${sealed}`) flaws.push(`sealing ${what}`)
    }
    return flaws
  },

  /** Asks at the exchange that the page comes from. */
  async query(key: string, name: string): Promise<Omit<PaidAnswers, 'spent'> & { spent: string }> {
    const merchant = createMerchant({ account: '1.2.20', key, baseUrl: location.origin })
    const { spent, ...answers } = await merchant.query(1, { name })
    return { ...answers, spent: String(spent) }
  },
}

Object.assign(globalThis, { desPage })
