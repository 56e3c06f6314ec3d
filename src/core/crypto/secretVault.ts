import nacl from 'tweetnacl'
import { concatBytes, randomBytes, utf8 } from '../bytes.ts'
import { SluiceError } from '../errors.ts'
import { engine } from './engine.ts'
import type { Vault } from './vault.ts'

/** The first byte of what this vault seals; after it the nonce and the box. */
const VERSION = 1

/**
 * A vault under a secret that the process has.
 *
 * Source: NaCl `crypto_secretbox` (XSalsa20-Poly1305) with random nonces.
 * @param name tells vaults under the same secret apart: one doesn't open what another sealed.
 * @param secret at least 32 bytes that nobody can guess.
 * @throws `BAD_KEY` for a shorter secret.
 */
export function secretVault(name: string, secret: Uint8Array): Vault {
  if (secret.length < 32) throw new SluiceError('BAD_KEY', `the secret of vault ${name} must have 32 bytes or more`)
  const key = engine().sha256(utf8(`sluice vault ${name}\0`), secret)
  const nonceEnd = 1 + nacl.secretbox.nonceLength

  return {
    async seal(plain) {
      const nonce = randomBytes(nacl.secretbox.nonceLength)
      return concatBytes(Uint8Array.of(VERSION), nonce, nacl.secretbox(plain, nonce, key))
    },
    async open(sealed) {
      const plain =
        sealed[0] === VERSION && sealed.length >= nonceEnd
          ? nacl.secretbox.open(sealed.subarray(nonceEnd), sealed.subarray(1, nonceEnd), key)
          : null
      if (!plain) throw new SluiceError('BAD_KEY', `vault ${name} can't open this: it was changed or sealed elsewhere`)
      return plain
    },
  }
}
