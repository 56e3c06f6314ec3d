import { type DBSchema, openDB } from 'idb'
import { concatBytes, randomBytes } from '../bytes.ts'
import { SluiceError } from '../errors.ts'
import type { Vault } from './vault.ts'

/** The first byte of what this vault seals; after it the nonce and the ciphertext. */
const VERSION = 2
/** NIST SP 800-38D, 8.2.2: random 96-bit nonces are good for 2^32 seals under one key. */
const NONCE = 12

interface Keys extends DBSchema {
  keys: { key: string; value: CryptoKey }
}

/**
 * A vault under a key that the browser keeps and never shows, not even to this page.
 *
 * Source: AES-256-GCM of WebCrypto; the key is not extractable and lives in this origin's IndexedDB. Who clears the
 * site's data loses it, together with the store that holds what it sealed.
 * @throws `BAD_ARGUMENT` on a page without WebCrypto, `STORE_FAILED` when IndexedDB fails.
 */
export async function browserVault(name: string): Promise<Vault> {
  const subtle = (crypto as { subtle?: SubtleCrypto }).subtle
  if (!subtle) throw new SluiceError('BAD_ARGUMENT', 'a vault needs WebCrypto: serve the page over https or localhost')
  const key = await keyOf(name, subtle)
  const additionalData = new TextEncoder().encode(name)

  return {
    async seal(plain) {
      const iv = randomBytes(NONCE) as Uint8Array<ArrayBuffer>
      const box = await subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, key, plain.slice())
      return concatBytes(Uint8Array.of(VERSION), iv, new Uint8Array(box))
    },
    async open(sealed) {
      try {
        if (sealed[0] !== VERSION) throw new RangeError('unknown version')
        const iv = sealed.slice(1, 1 + NONCE)
        return new Uint8Array(await subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, key, sealed.slice(1 + NONCE)))
      } catch (cause) {
        throw new SluiceError('BAD_KEY', `vault ${name} can't open this: it was changed or sealed elsewhere`, { cause })
      }
    },
  }
}

/** The vault's key, made when there is none. */
async function keyOf(name: string, subtle: SubtleCrypto): Promise<CryptoKey> {
  try {
    const db = await openDB<Keys>('sluice-vault', 1, { upgrade: (fresh) => void fresh.createObjectStore('keys') })
    try {
      const found = await db.get('keys', name)
      if (found) return found
      const made = await subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
      const tx = db.transaction('keys', 'readwrite', { durability: 'strict' })
      // Another tab may have been faster: the first key stays.
      const first = await tx.store.get(name)
      if (!first) await tx.store.add(made, name)
      await tx.done
      return first ?? made
    } finally {
      db.close()
    }
  } catch (cause) {
    throw new SluiceError('STORE_FAILED', `the browser could not keep the key of vault ${name}`, { cause })
  }
}
