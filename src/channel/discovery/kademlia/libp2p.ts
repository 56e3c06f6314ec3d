import { SluiceError } from '../../../core/errors.ts'

/** What of libp2p is used here. */
export type Libp2pParts = Awaited<ReturnType<typeof importParts>>

/** Packages that a program with Kademlia installs. */
const PACKAGES =
  'libp2p @libp2p/crypto @libp2p/identify @libp2p/kad-dht @libp2p/ping @libp2p/tcp @chainsafe/libp2p-noise @chainsafe/libp2p-yamux @multiformats/multiaddr'

/** Loads libp2p, which is an optional peer dependency. @throws `BAD_ARGUMENT` saying what to install. */
export async function loadLibp2p(): Promise<Libp2pParts> {
  supplyWithResolvers()
  try {
    return await importParts()
  } catch (cause) {
    throw new SluiceError('BAD_ARGUMENT', `kademliaDiscovery needs more packages: npm install ${PACKAGES}`, { cause })
  }
}

// At run time and not above, so that a program without Kademlia needs none of them, and CommonJS can load them.
async function importParts() {
  const [libp2p, keys, identify, dht, ping, tcp, noise, yamux, multiaddr] = await Promise.all([
    import('libp2p'),
    import('@libp2p/crypto/keys'),
    import('@libp2p/identify'),
    import('@libp2p/kad-dht'),
    import('@libp2p/ping'),
    import('@libp2p/tcp'),
    import('@chainsafe/libp2p-noise'),
    import('@chainsafe/libp2p-yamux'),
    import('@multiformats/multiaddr'),
  ])
  return { dht, ...libp2p, ...keys, ...identify, ...ping, ...tcp, ...noise, ...yamux, ...multiaddr }
}

/**
 * libp2p 3 takes `Promise.withResolvers` (ES2024) for given; Node has it from 22 on. This is the standard's own, added the
 * way an engine would: not enumerable, and only where it is missing.
 */
function supplyWithResolvers(): void {
  if ('withResolvers' in Promise) return
  Object.defineProperty(Promise, 'withResolvers', {
    configurable: true,
    writable: true,
    value: function withResolvers<T>(this: PromiseConstructor) {
      let resolve!: (value: T | PromiseLike<T>) => void
      let reject!: (reason?: unknown) => void
      const promise = new this<T>((yes, no) => {
        resolve = yes
        reject = no
      })
      return { promise, resolve, reject }
    },
  })
}
