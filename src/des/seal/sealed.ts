import { fromHex, toHex } from '../../core/bytes.ts'
import { decryptFrom, encryptFor, type GrapheneKey } from '../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../core/errors.ts'
import { isSuite2, open, seal, type SealContext } from './suite2.ts'

/** What data is sealed with beside the two keys: a nonce, which is suite 1 and travels along, or a context, suite 2. */
export type SealWith = { readonly nonce: bigint } | { readonly context: SealContext }

/**
 * Seals bytes for another account, as text: hex in suite 1, `v2:` and hex in suite 2.
 *
 * GXChain's clients know suite 1 only.
 * @throws `BAD_KEY` for a bad public key, `BAD_ARGUMENT` naming a nonce out of range or the field of a bad context.
 */
export async function sealData(key: GrapheneKey, publicKey: string, using: SealWith, plain: Uint8Array): Promise<string> {
  if ('context' in using) return seal(key, publicKey, using.context, plain)
  return toHex(await encryptFor(key, publicKey, using.nonce, plain)).slice(2)
}

/**
 * Opens sealed data of either suite; the text tells which.
 * @throws `BAD_KEY` for a bad public key, `BAD_ARGUMENT` as {@link sealData}, `BAD_MESSAGE` for data that doesn't open.
 */
export async function openSealed(
  key: GrapheneKey, publicKey: string, using: { readonly nonce: bigint; readonly context: SealContext }, sealed: string,
): Promise<Uint8Array> {
  if (isSuite2(sealed)) return open(key, publicKey, using.context, sealed)
  return decryptFrom(key, publicKey, using.nonce, bytesOf(sealed))
}

function bytesOf(sealed: string): Uint8Array {
  try {
    return fromHex(`0x${sealed}`)
  } catch (cause) {
    throw new SluiceError('BAD_MESSAGE', 'sealed data must be hex', { cause })
  }
}
