import { assertArguments, byteString, having, optional } from '../../core/argument.ts'
import { toHex } from '../../core/bytes.ts'
import { closes, type AsyncCloseable } from '../../core/dispose.ts'
import { isSluiceError } from '../../core/errors.ts'
import type { PublishingRegistry, Registry } from '../../protocol/registry/registry.ts'
import type { Discovery } from './discovery.ts'

/** Options of {@link registryDiscovery}. */
export interface RegistryDiscoveryOptions {
  /**
   * Where nodes are entered: as a rule `contractRegistry(provider, { address, service: CHANNEL_SERVICE })`, or
   * `await publishingRegistry(signer, ...)` for a node that enters itself.
   */
  readonly registry: Registry | PublishingRegistry
  /** The node's own public key, 65 bytes, for a node that enters itself. */
  readonly publicKey?: Uint8Array | undefined
}

/** A channel node offers no menu. */
const NO_MENU = `0x${'00'.repeat(32)}` as const

/**
 * Finds nodes in a registry: the on-chain contract, or any other {@link Registry}. Announcing costs a transaction where
 * the entry changes, and nothing where it doesn't; the entry outlives {@link Discovery.close}.
 */
export function registryDiscovery(options: RegistryDiscoveryOptions): Discovery & AsyncCloseable {
  assertArguments(options, { registry: having('a registry, such as contractRegistry(provider)', 'find'), publicKey: optional(byteString(65)) }, 'options')
  const { registry, publicKey } = options
  const find: Discovery['find'] = async (account, options) => {
    try {
      return [(await registry.find(account, options)).endpoint]
    } catch (error) {
      // Nobody is there, or somebody who entered what can't be used.
      if (isSluiceError(error, 'NO_SUCH_SELLER') || isSluiceError(error, 'BAD_ARGUMENT')) return []
      throw error
    }
  }
  const close = async (): Promise<void> => {}
  if (!publicKey || !('publish' in registry)) return { ...closes, find, close }
  const entry = { publicKey: toHex(publicKey), menuHash: NO_MENU }
  return { ...closes, find, announce: (endpoint, options) => registry.publish({ endpoint, ...entry }, options), close }
}
