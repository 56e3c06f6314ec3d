import type { Signer } from 'ethers'
import { equalBytes, randomBytes, utf8 } from '../bytes.ts'
import { createRpc } from '../chain/rpc.ts'
import { SluiceError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { engine } from './engine.ts'
import { personalDigest } from './signature.ts'
import { readWalletSignature, signerOf } from './walletSignature.ts'
import { openVault } from '#platform'

/**
 * The secret session key of a store: made once, kept sealed, so that a restarted node can go on where it was.
 *
 * In Node its seal is made of a signature of the account, in browsers of a key of the browser's. A signature seals only if
 * the wallet can give the same one again: before the first seal it is asked twice.
 * @throws `BAD_KEY` when the store was sealed by another account, or for another browser; when the account signs no
 * messages, as that of a contract does not; when its signatures differ each time. `BAD_SIGNATURE` when another key signs.
 */
export async function storedSecret(store: Store, signer: Signer, address: string): Promise<Uint8Array> {
  const text = `Sluice: unlock the session key of ${address}`
  const sign = async (): Promise<Uint8Array> => {
    let given: string
    try {
      given = await signer.signMessage(text)
    } catch (cause) {
      throw new SluiceError('BAD_KEY', `account ${address} signs no message to seal its session key with: go without a store`, {
        cause,
      })
    }
    const signature = readWalletSignature(given)
    await assertSecret(signature, personalDigest(utf8(text)), signer, address)
    return signature
  }
  const sealed = await store.get('session')
  const vault = await openVault('sluice-session', async () => {
    const signature = await sign()
    // What could not be opened again would take the session's money with it.
    if (!sealed && !equalBytes(signature, await sign())) {
      throw new SluiceError(
        'BAD_KEY',
        `account ${address} signs the same message differently each time, so what is sealed with a signature could not be ` +
          'opened again: go without a store, or use a signer with deterministic signatures (RFC 6979)',
        { details: { address } },
      )
    }
    return engine().keccak256(signature)
  })
  if (sealed) return vault.open(sealed)
  const secret = randomBytes(32)
  await store.write([{ key: 'session', value: await vault.seal(secret) }])
  return secret
}

/** Asserts that nobody but the account could have made a signature: what others can make seals nothing. */
async function assertSecret(signature: Uint8Array, digest: Uint8Array, signer: Signer, address: string): Promise<void> {
  const by = signerOf(digest, signature)
  if (by?.toLowerCase() === address.toLowerCase()) return
  const { provider } = signer
  const ask = () => provider!.getCode(address)
  const code = provider ? await createRpc({ provider }).ask('code of the account', ask, { attempts: 3 }) : '0x'
  // The owners of a contract sign for it; its wallet knows how.
  if (code !== '0x' && (by !== undefined || signature.length > 65)) return
  throw new SluiceError(
    'BAD_SIGNATURE',
    `the wallet of ${address} signed with ${by ?? 'no key'}: use a signer that signs with the account's own key`,
    { details: { address, signer: by ?? null } },
  )
}
