import type { Signer } from 'ethers'
import { randomBytes, utf8 } from '../bytes.ts'
import { engine } from './engine.ts'
import { SluiceError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { openVault } from '#platform'

/**
 * The secret session key of a store: made once, kept sealed, so that a restarted node can go on where it was.
 * @throws `BAD_KEY` when the store was sealed by another account, or for another browser, and when the account signs
 * no messages, as that of a contract does not.
 */
export async function storedSecret(store: Store, signer: Signer, address: string): Promise<Uint8Array> {
  const cannotSign = (cause: unknown): never => {
    throw new SluiceError('BAD_KEY', `account ${address} signs no message to seal its session key with: go without a store`, {
      cause,
    })
  }
  const vault = await openVault('sluice-session', async () =>
    // In Node the wallet signs without asking; browsers have a key of their own for this and never come here.
    engine().keccak256(utf8(await signer.signMessage(`Sluice: unlock the session key of ${address}`).catch(cannotSign))),
  )
  const sealed = await store.get('session')
  if (sealed) return vault.open(sealed)
  const secret = randomBytes(32)
  await store.write([{ key: 'session', value: await vault.seal(secret) }])
  return secret
}
