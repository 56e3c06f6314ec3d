/**
 * What a node of the network keeps for others, and what libp2p remembers of peers: in memory, and never more than so much.
 * @module
 */
import type { Libp2pInit } from 'libp2p'
import { equalBytes } from '../../../core/bytes.ts'
import { engine } from '../../../core/crypto/engine.ts'
import { SluiceError } from '../../../core/errors.ts'
import { compareRecords } from '../endpointRecord.ts'

/** The store that libp2p is given. */
export type Libp2pStore = NonNullable<Libp2pInit['datastore']>
type Key = Parameters<Libp2pStore['get']>[0]

/** A store that answers at once. */
export interface RecordStore extends Libp2pStore {
  has(key: Key): boolean
  get(key: Key): Uint8Array
  /** @throws what `read` does; `BAD_MESSAGE` for an older record than the known one; `OVERLOADED` where there is no room. */
  put(key: Key, value: Uint8Array): Key
  delete(key: Key): void
}

/** Reads and checks a value of the DHT as it lies in the store: its key and the endpoint record. */
export type ReadStored = (stored: Uint8Array) => {
  readonly key: Uint8Array
  readonly record: Uint8Array
  /** Unix seconds. */
  readonly validUntil: number
}

/** Options of {@link recordStore}. */
export interface RecordStoreOptions {
  /** Throws for what is no valid record. */
  readonly read: ReadStored
  /** The place of this node among the keys: SHA-256 of its id. */
  readonly self: Uint8Array
  /** The key of this node's own record, which is never dropped to make room. */
  readonly own?: Uint8Array | undefined
  /** Records at most. */
  readonly maxRecords: number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Peers, and whatever else libp2p keeps. */
const MAX_REST = 4096
/** Where `@libp2p/kad-dht` keeps values, and who provides content; the latter is of no use here. */
const RECORDS = '/dht/record/'
const PROVIDERS = '/dht/provider/'

interface Stored {
  readonly key: Key
  readonly value: Uint8Array
}

interface StoredRecord extends Stored {
  readonly record: Uint8Array
  readonly validUntil: number
  /** How far the record's key is from this node, by Kademlia's measure. */
  readonly distance: Uint8Array
}

/**
 * A store that takes a record only in place of an older one, forgets what is over, and makes room by dropping what lies
 * farthest from this node: whoever wants to push a record out needs keys that happen to be near, at every node that has it.
 */
export function recordStore({ read, self, own, maxRecords, now }: RecordStoreOptions): RecordStore {
  const records = new Map<string, StoredRecord>()
  const rest = new Map<string, Stored>()

  const find = (name: string): Uint8Array | undefined => {
    if (!name.startsWith(RECORDS)) return rest.get(name)?.value
    const found = records.get(name)
    if (!found || found.validUntil * 1000 > now()) return found?.value
    records.delete(name)
    return undefined
  }

  const putRecord = (name: string, key: Key, value: Uint8Array): void => {
    const { key: place, record, validUntil } = read(value)
    const known = records.get(name)
    if (known && !equalBytes(known.record, record) && compareRecords(known.record, record) < 0) {
      throw new SluiceError('BAD_MESSAGE', 'a newer record of this account is known', { details: { field: 'sequence' } })
    }
    const target = own && equalBytes(place, own) ? self : engine().sha256(place)
    records.set(name, { key, value, record, validUntil, distance: distanceOf(target, self) })
    if (records.size <= maxRecords) return
    for (const [other, { validUntil: end }] of records) if (end * 1000 <= now()) records.delete(other)
    if (records.size <= maxRecords) return
    const [farthest] = [...records].reduce((a, b) => (isLess(a[1].distance, b[1].distance) ? b : a))
    records.delete(farthest)
    if (farthest === name) throw new SluiceError('OVERLOADED', 'this node keeps records that are nearer to it')
  }

  const put = (key: Key, value: Uint8Array): Key => {
    const name = key.toString()
    if (name.startsWith(RECORDS)) putRecord(name, key, value)
    else if (!name.startsWith(PROVIDERS)) {
      rest.delete(name)
      rest.set(name, { key, value })
      if (rest.size > MAX_REST) rest.delete(rest.keys().next().value!)
    }
    return key
  }
  const remove = (key: Key): void => {
    records.delete(key.toString())
    rest.delete(key.toString())
  }
  const get = (key: Key): Uint8Array => {
    const value = find(key.toString())
    // The name is how libp2p knows it.
    if (!value) throw Object.assign(new SluiceError('BAD_ARGUMENT', 'there is nothing under this key'), { name: 'NotFoundError' })
    return value
  }
  function* all(): Generator<Stored> {
    yield* records.values()
    yield* rest.values()
  }

  return {
    has: (key) => find(key.toString()) !== undefined,
    get,
    put,
    delete: remove,
    *getMany(keys) {
      for (const key of keys as Iterable<Key>) yield { key, value: get(key) }
    },
    *putMany(pairs) {
      for (const { key, value } of pairs as Iterable<Stored>) yield put(key, value)
    },
    *deleteMany(keys) {
      for (const key of keys as Iterable<Key>) {
        remove(key)
        yield key
      }
    },
    batch: () => {
      const steps: (() => unknown)[] = []
      return {
        put: (key, value) => void steps.push(() => put(key, value)),
        delete: (key) => void steps.push(() => remove(key)),
        commit: () => steps.splice(0).forEach((step) => step()),
      }
    },
    *query({ prefix = '', filters = [] }) {
      for (const pair of [...all()]) {
        if (pair.key.toString().startsWith(prefix) && filters.every((accepts) => accepts(pair))) yield pair
      }
    },
    *queryKeys({ prefix = '', filters = [] }) {
      for (const { key } of [...all()]) {
        if (key.toString().startsWith(prefix) && filters.every((accepts) => accepts(key))) yield key
      }
    },
  }
}

function distanceOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ b[i]!)
}

function isLess(a: Uint8Array, b: Uint8Array): boolean {
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at >= 0 && a[at]! < b[at]!
}
