/**
 * Finds nodes through a Kademlia network of the nodes themselves.
 * @module
 */
import { setMaxListeners } from 'node:events'
import type { KadDHT, QueryEvent, ValueEvent } from '@libp2p/kad-dht'
import type { Libp2p } from 'libp2p'
import { amount, assertArguments, byteString, clock as clockRule, flag, having, integer, listOf, logger, milliseconds, optional, text } from '../../../core/argument.ts'
import { utf8 } from '../../../core/bytes.ts'
import { systemClock, type Clock } from '../../../core/clock.ts'
import { engine } from '../../../core/crypto/engine.ts'
import { throwIfAborted, withDeadline } from '../../../core/deadline.ts'
import { type AsyncCloseable, closes } from '../../../core/dispose.ts'
import { assertArgument, isSluiceError, SluiceError } from '../../../core/errors.ts'
import { silentLogger, type Logger } from '../../../core/log.ts'
import { isAccount, type EndpointRule, type Registry } from '../../../protocol/registry/registry.ts'
import type { Discovery, DiscoveryOptions } from '../discovery.ts'
import { compareRecords, LONGEST_VALIDITY, signEndpointRecord, verifyEndpointRecord, type RecordSigner } from '../endpointRecord.ts'
import { loadLibp2p, type Libp2pParts } from './libp2p.ts'
import { recordStore } from './recordStore.ts'

/** Options of {@link kademliaDiscovery}. */
export interface KademliaDiscoveryOptions {
  /** The chain whose channel nodes these are; every chain has a network of its own. */
  readonly chainId: bigint
  /** Who signs this node's endpoint; without it the node only finds others. */
  readonly signer?: RecordSigner | undefined
  /** Where the entries of the seeds are: a registry of the service `KADEMLIA_SERVICE` with {@link multiaddrEndpoint}. */
  readonly registry?: Registry | undefined
  /** Multiaddrs of further seeds, with `/p2p/` and their peer id. @default none */
  readonly seeds?: readonly string[] | undefined
  /**
   * Multiaddrs to listen on, such as `/ip4/0.0.0.0/tcp/4001`. A node that listens keeps records for others and answers
   * them; one that doesn't only asks. @default none
   */
  readonly listen?: readonly string[] | undefined
  /** Multiaddrs under which others reach this node, where they differ from {@link listen}. @default as found out */
  readonly reachedAt?: readonly string[] | undefined
  /** 32 secret bytes that the peer id is made of, to keep it over restarts: a seed needs that. @default random */
  readonly secret?: Uint8Array | undefined
  /** Takes peers at private addresses, too: on one machine or in one local network. @default false */
  readonly privateAddresses?: boolean | undefined
  /** Milliseconds that a lookup or an announcement takes at most. @default 10000 */
  readonly deadline?: number | undefined
  /** Seconds that an announced endpoint is valid for; it is renewed in time. @default 86400 */
  readonly validity?: number | undefined
  /** Records that are kept for others at most, of up to 2 KiB. @default 4096 */
  readonly maxRecords?: number | undefined
  /** @default silent */
  readonly log?: Logger | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** A node of the Kademlia network. */
export interface KademliaDiscovery extends Discovery, AsyncCloseable {
  /** Where other nodes of the network reach this one, with `/p2p/` and its peer id; empty unless it listens. */
  readonly addresses: readonly string[]
}

const MULTIADDR = /^\/(ip4|ip6|dns|dns4|dns6)\/[0-9A-Za-z.:-]+\/tcp\/[0-9]{1,5}\/p2p\/[1-9A-HJ-NP-Za-km-z]{32,64}$/

/** Endpoints of seeds: TCP multiaddrs that name the peer. */
export const multiaddrEndpoint: EndpointRule = {
  expected: 'a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/12D3...',
  accepts: (endpoint) => MULTIADDR.test(endpoint),
}

/** The first part of the keys of records. */
const NAMESPACE = 'sluice-endpoint'
/** Seeds that are dialled when the node joins the network. */
const MAX_SEEDS = 8
/** Entries of the registry that seeds are picked from at random. */
const MAX_ENTRIES = 256
/** Links to other nodes of the network. */
const MAX_CONNECTIONS = 200
/** Milliseconds that others still have for a newer record once a valid one has come. */
const PATIENCE = 2000
/** Milliseconds to get to know the neighbourhood when the node joins; it goes on meeting others after that. */
const ACQUAINTANCE = 1000
/** Milliseconds for one peer to answer. */
const ANSWER = 3000
/** Milliseconds between two announcements of the same endpoint: nodes come and go. */
const REPEAT = 3600_000
/** Milliseconds until the next try where nobody took the record. */
const REPEAT_SOON = 60_000
/** Milliseconds for the links to be ended. */
const CLOSE_PATIENCE = 5000

const texts = optional(listOf(text(1)))
const optionRules = {
  chainId: amount(256),
  signer: optional(having('an identity with signBytes()', 'signBytes')),
  registry: optional(having('a registry, such as contractRegistry(provider)', 'find')),
  seeds: texts,
  listen: texts,
  reachedAt: texts,
  secret: optional(byteString(32)),
  privateAddresses: optional(flag),
  deadline: optional(milliseconds),
  validity: optional(integer(60, LONGEST_VALIDITY, 'number of seconds')),
  maxRecords: optional(integer(1)),
  log: optional(logger),
  clock: optional(clockRule),
}

/**
 * Joins the Kademlia network of a chain's channel nodes: libp2p over TCP with Noise.
 *
 * A node's endpoint lies at the nodes whose ids are nearest to the hash of its account, in a record that the account has
 * signed. Every node checks account, signature, validity, size and sequence before it keeps or believes a record, so
 * others can withhold one but neither forge it nor bring back an older one where a newer is known.
 * @throws `BAD_ARGUMENT` when libp2p is not installed or an address is malformed; `CONNECTION_FAILED` when the port is taken.
 * @example
 * ```ts
 * import { KADEMLIA_SERVICE } from 'sluice-sdk/contracts'
 * import { contractRegistry } from 'sluice-sdk/registry'
 * import { kademliaDiscovery, multiaddrEndpoint } from 'sluice-sdk/channel/kademlia'
 *
 * const registry = contractRegistry(provider, { address, service: KADEMLIA_SERVICE, endpoints: multiaddrEndpoint })
 * const discovery = await kademliaDiscovery({ chainId: 1n, signer, registry, listen: ['/ip4/0.0.0.0/tcp/4001'] })
 * await discovery.announce('wss://node.example/channel')
 * ```
 */
export async function kademliaDiscovery(options: KademliaDiscoveryOptions): Promise<KademliaDiscovery> {
  assertArguments(options, optionRules, 'options')
  const { chainId, signer, registry, seeds = [], deadline = 10_000, validity = 24 * 3600 } = options
  const { log = silentLogger, clock = systemClock } = options
  const inRange = validity >= 60 && validity <= LONGEST_VALIDITY
  assertArgument(inRange, 'validity', `a number of seconds from 60 to ${LONGEST_VALIDITY}`)
  for (const seed of seeds) assertArgument(multiaddrEndpoint.accepts(seed), 'seeds', multiaddrEndpoint.expected)
  assertArgument(registry || options.listen || seeds.length > 0, 'seeds', 'given, unless a registry is or this node listens')
  const parts = await loadLibp2p()
  const { node, dht } = await startNode(options, parts, clock)
  const closed = new AbortController()

  type Run<T> = (signal: AbortSignal) => Promise<T>
  const within = async <T>(what: string, signal: AbortSignal | undefined, run: Run<T>): Promise<T> => {
    return withDeadline({ what, ms: deadline, signal: anyOf(closed.signal, signal) }, (inner) => {
      setMaxListeners(0, inner)
      return run(inner)
    })
  }

  /** Multiaddrs of seeds, a few at random: a seed that is entered first must not see everybody. */
  const pickSeeds = async (signal: AbortSignal): Promise<readonly string[]> => {
    const found: string[] = []
    try {
      for await (const { endpoint } of registry?.list({ signal }) ?? []) if (found.push(endpoint) >= MAX_ENTRIES) break
    } catch (error) {
      log.warn('the seeds of the registry could not be read', { reason: String(error) })
    }
    const fromRegistry = found.filter(multiaddrEndpoint.accepts).sort(() => Math.random() - 0.5)
    return [...new Set([...seeds, ...fromRegistry])].slice(0, MAX_SEEDS)
  }
  /** Whether there is somebody to ask beside this node. */
  let hasSeeds = false
  /** Dials seeds and gets to know the neighbourhood. Whom it can't reach, it does without. */
  const join = async (signal: AbortSignal): Promise<void> => {
    const others = (await pickSeeds(signal)).filter((seed) => !seed.endsWith(`/p2p/${node.peerId.toString()}`))
    hasSeeds = others.length > 0
    const dialled = others.map((seed) =>
      node.dial(parts.multiaddr(seed), { signal }).catch((error: unknown) => {
        log.debug('a seed was not reached', { seed, reason: String(error) })
      }),
    )
    // A link is not yet a known peer: what the other side speaks has to be found out first.
    const met = new AbortController()
    const somebody = async (): Promise<void> => {
      while (dht.routingTable.size === 0) await systemClock.sleep(20, anyOf(signal, met.signal))
    }
    const nobody = async (): Promise<void> => {
      await Promise.all(dialled)
      if (node.getPeers().length > 0) await systemClock.sleep(ANSWER, anyOf(signal, met.signal))
    }
    await Promise.race([somebody(), nobody()]).finally(() => met.abort())
    // Whoever answers at once is known then; a lookup that began from seeds alone would see what they want it to see.
    const quick = anyOf(signal, AbortSignal.timeout(ACQUAINTANCE))
    await ask(dht.getClosestPeers(node.peerId.toMultihash().bytes, { signal: quick }), () => {}).catch(() => {})
  }
  let joining: Promise<void> | undefined
  /** Joins, unless the node has joined and still knows somebody. */
  const joined = async (signal: AbortSignal): Promise<void> => {
    if (dht.routingTable.size > 0) return
    joining ??= join(anyOf(closed.signal, AbortSignal.timeout(deadline)))
      .catch((error: unknown) => log.debug('not joined', { reason: String(error) }))
      .finally(() => (joining = undefined))
    const stop = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([joining, stop])
  }

  /** The record of an account that holds, of all that came in time. */
  const lookUp = async (account: string, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> => {
    let best: Uint8Array | undefined
    let answers = 0
    const enough = new AbortController()
    try {
      await within(`the endpoint of ${account}`, signal, async (inner) => {
        await joined(inner)
        const query = anyOf(inner, enough.signal)
        // Every value here has passed the validator. Of the query's own events, VALUE comes only at its end: a peer that
        // refuses to be corrected would keep it back.
        const onProgress: OnProgress = (event) => {
          if (event.type === 'kad-dht:query:peer-response') answers++
          if (event.type !== 'kad-dht:query:value') return
          const { value } = event.detail as ValueEvent
          const isFirst = !best
          if (!best || compareRecords(best, value) > 0) best = value
          if (!isFirst) return
          systemClock.sleep(PATIENCE, query).then(
            () => enough.abort(),
            () => {}, // over before
          )
        }
        await ask(dht.get(keyOf(account), { signal: query, onProgress }), () => {}).catch((error: unknown) => {
          log.debug('a lookup ended early', { account, reason: String(error) })
        })
        enough.abort()
      })
    } catch (error) {
      if (!isSluiceError(error, 'TIMEOUT')) throw error
    }
    if (!best && answers === 0 && (hasSeeds || dht.routingTable.size > 0)) throw unreachable()
    return best
  }

  const find = async (account: string, { signal }: DiscoveryOptions = {}): Promise<readonly string[]> => {
    throwIfAborted(signal, 'looking for a node')
    if (!isAccount(account)) return []
    const bytes = await lookUp(account, signal)
    return bytes ? verifyEndpointRecord(bytes, { account, chainId, now: clock.now() }).endpoints : []
  }

  /** Hands a record to the nodes that are nearest to it, and says how many took it. */
  const put = async (account: string, record: Uint8Array, signal: AbortSignal | undefined): Promise<number> => {
    let taken = 0
    try {
      await within('an announcement', signal, async (inner) => {
        await joined(inner)
        await ask(dht.put(keyOf(account), record, { signal: inner }), (event) => {
          if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') taken++
        })
      })
    } catch (error) {
      if (taken === 0 || !isSluiceError(error, 'TIMEOUT')) throw error
    }
    return taken
  }

  let announced = new AbortController()
  let sequence = 0
  const announce = async (own: RecordSigner, endpoint: string, { signal }: DiscoveryOptions = {}): Promise<void> => {
    announced.abort()
    const current = (announced = new AbortController())
    const account = own.address
    const known = await lookUp(account, signal).catch((error: unknown) => {
      if (isSluiceError(error, 'ABORTED')) throw error
      return undefined
    })
    if (known) sequence = Math.max(sequence, verifyEndpointRecord(known, { account, chainId, now: clock.now() }).sequence)
    let signedAt = 0
    let record: Uint8Array
    const publish = async (publishSignal: AbortSignal | undefined): Promise<number> => {
      if (clock.now() - signedAt > (validity * 1000) / 2) {
        sequence = Math.max(sequence + 1, clock.now())
        const validUntil = Math.floor(clock.now() / 1000) + validity
        record = await signEndpointRecord(own, { chainId, endpoints: [endpoint], sequence, validUntil })
        signedAt = clock.now()
      }
      return put(account, record, publishSignal)
    }
    let taken = await publish(signal)
    // A node that keeps records has its own; others that come to know it will find it there.
    if (taken === 0 && !options.listen) throw unreachable()
    const renewed = anyOf(current.signal, closed.signal)
    const renew = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(taken > 0 ? Math.min(REPEAT, (validity * 1000) / 4) : REPEAT_SOON, renewed)
        taken = await publish(renewed).catch((error: unknown) => {
          log.warn('the endpoint was not announced anew', { endpoint, reason: String(error) })
          return 0
        })
      }
    }
    renew().catch(() => {}) // ends when it is called off
  }

  joined(closed.signal).catch(() => {}) // whoever looks for something waits for it
  return {
    ...closes,
    get addresses() {
      return node.getMultiaddrs().map((address) => address.toString())
    },
    find,
    ...(signer ? { announce: announce.bind(undefined, signer) } : {}),
    close: async () => {
      if (closed.signal.aborted) return
      closed.abort()
      await withDeadline({ what: 'the end of all links', ms: CLOSE_PATIENCE }, async () => node.stop()).catch((error: unknown) =>
        log.warn('links were left open', { reason: String(error) }),
      )
    },
  }
}

/** How a query tells what comes, while it runs. Links and streams report here, too. */
type OnProgress = (event: { readonly type: string; readonly detail?: unknown }) => void

/** What is used of the DHT; its type leaves out the routing table that it has. */
type Dht = KadDHT & { readonly routingTable: { readonly size: number } }

async function startNode(
  options: KademliaDiscoveryOptions,
  parts: Libp2pParts,
  clock: Clock,
): Promise<{ node: Libp2p; dht: Dht }> {
  const { chainId, signer, listen, reachedAt, secret, privateAddresses = false, maxRecords = 4096 } = options
  const { dht, generateKeyPairFromSeed } = parts
  const privateKey = await generateKeyPairFromSeed('Ed25519', secret ?? crypto.getRandomValues(new Uint8Array(32)))
  const validate = (key: Uint8Array, record: Uint8Array): number => {
    const account = accountOf(key)
    if (!account) throw new SluiceError('BAD_MESSAGE', 'the key of a record must be that of an account', { details: { field: 'key' } })
    return verifyEndpointRecord(record, { account, chainId, now: clock.now() }).validUntil
  }
  const datastore = recordStore({
    read: (stored) => {
      const { key, value } = dht.Record.deserialize(stored)
      return { key, record: value, validUntil: validate(key, value) }
    },
    self: engine().sha256(privateKey.publicKey.toMultihash().bytes),
    own: signer && keyOf(signer.address),
    maxRecords,
    now: () => clock.now(),
  })
  try {
    const node = await parts.createLibp2p({
      privateKey,
      datastore,
      addresses: { listen: [...(listen ?? [])], ...(reachedAt ? { announce: [...reachedAt] } : {}) },
      transports: [parts.tcp()],
      connectionEncrypters: [parts.noise()],
      streamMuxers: [parts.yamux()],
      connectionManager: {
        maxConnections: MAX_CONNECTIONS,
        // In a network of one's own, many nodes may be behind one address.
        ...(privateAddresses ? { inboundConnectionThreshold: MAX_CONNECTIONS } : {}),
      },
      services: {
        identify: parts.identify(),
        ping: parts.ping(),
        dht: dht.kadDHT({
          protocol: `/sluice/channel/${chainId}/kad/1.0.0`,
          clientMode: !listen,
          networkDialTimeout: { minTimeout: ANSWER, maxTimeout: ANSWER },
          incomingMessageTimeout: ANSWER,
          allowQueryWithZeroPeers: true, // a lookup says at once that there is nobody
          peerInfoMapper: privateAddresses ? dht.passthroughMapper : dht.removePrivateAddressesMapper,
          validators: { [NAMESPACE]: (key, record) => void validate(key, record) },
          selectors: { [NAMESPACE]: (_key, records) => indexOfBest(records) },
        }),
      },
    })
    return { node: node as unknown as Libp2p, dht: node.services.dht as Dht }
  } catch (cause) {
    const taken = cause instanceof Error && /EADDRINUSE|EADDRNOTAVAIL|EACCES|valid addresses|listen/i.test(`${cause.name} ${cause.message}`)
    throw new SluiceError(taken ? 'CONNECTION_FAILED' : 'BAD_ARGUMENT', `libp2p did not start: ${String(cause)}`, { cause })
  }
}

function indexOfBest(records: readonly Uint8Array[]): number {
  return records.reduce((best, record, i) => (compareRecords(records[best]!, record) > 0 ? i : best), 0)
}

/** The key of an account's record: `/sluice-endpoint/0x...` in lower case. */
function keyOf(account: string): Uint8Array {
  return utf8(`/${NAMESPACE}/${account.toLowerCase()}`)
}

function accountOf(key: Uint8Array): string | undefined {
  return new RegExp(`^/${NAMESPACE}/(0x[0-9a-f]{40})$`).exec(new TextDecoder().decode(key))?.[1]
}

/** Goes through what a query of the DHT reports. */
async function ask(query: AsyncIterable<QueryEvent>, heed: (event: QueryEvent) => void): Promise<void> {
  for await (const event of query) heed(event)
}

/** A signal that fires with either. libp2p listens to it once for each peer that it asks. */
function anyOf(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  const signal = AbortSignal.any(other ? [one, other] : [one])
  setMaxListeners(0, signal)
  return signal
}

function unreachable(): SluiceError {
  return new SluiceError('CONNECTION_FAILED', 'no node of the Kademlia network could be reached')
}
