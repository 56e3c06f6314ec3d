import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../../../core/bytes.ts'
import { engine } from '../../../core/crypto/engine.ts'
import { generateKey, type Key } from '../../../core/crypto/key.ts'
import { personalDigest } from '../../../core/crypto/signature.ts'
import { signEndpointRecord, verifyEndpointRecord } from '../endpointRecord.ts'
import { loadLibp2p } from './libp2p.ts'
import { recordStore, type Libp2pStore } from './recordStore.ts'

const { dht } = await loadLibp2p()
type StoreKey = Parameters<Libp2pStore['get']>[0]
/** Keys that only show their name, as all of them do here. */
const named = (name: string): StoreKey => ({ toString: () => name }) as StoreKey
const placeOf = (key: Key): Uint8Array => utf8(`/sluice-endpoint/${key.address.toLowerCase()}`)
const nameOf = (key: Key): StoreKey => named(`/dht/record/${key.address}`)

let now = 1_800_000_000_000
const self = engine().sha256(utf8('this node'))
const distance = (key: Key): bigint => BigInt(toHex(engine().sha256(placeOf(key)))) ^ BigInt(toHex(self))
const storeOf = (maxRecords: number, own?: Uint8Array) =>
  recordStore({
    read: (stored) => {
      const { key, value } = dht.Record.deserialize(stored)
      const account = new TextDecoder().decode(key).split('/')[2]!
      return { key, record: value, validUntil: verifyEndpointRecord(value, { account, chainId: 1n, now }).validUntil }
    },
    self,
    own,
    maxRecords,
    now: () => now,
  })
const stored = async (key: Key, sequence = 1, seconds = 3600): Promise<Uint8Array> => {
  const signer = { address: key.address, signBytes: async (bytes: Uint8Array) => key.sign(personalDigest(bytes)) }
  const fields = { chainId: 1n, endpoints: ['ws://x/'], sequence, validUntil: now / 1000 + seconds }
  return new dht.Record(placeOf(key), await signEndpointRecord(signer, fields), new Date()).serialize()
}
const error = (code: string): Error => expect.objectContaining({ code }) as Error

describe('recordStore', () => {
  it('takes a newer record in place of an older one, the same again, and no older one', async () => {
    const store = storeOf(10)
    const key = generateKey()
    const [first, second] = [await stored(key, 1), await stored(key, 2)]
    store.put(nameOf(key), first)
    store.put(nameOf(key), second)
    store.put(nameOf(key), second)
    expect(() => store.put(nameOf(key), first)).toThrowError(error('BAD_MESSAGE'))
    expect(store.get(nameOf(key))).toEqual(second)
  })

  it('keeps nothing that is no record, and no providers', () => {
    const store = storeOf(10)
    expect(() => store.put(named('/dht/record/x'), new dht.Record(utf8('/pk/x'), utf8('a key'), new Date()).serialize())).toThrowError()
    expect(() => store.put(named('/dht/record/x'), utf8('garbage'))).toThrowError()
    store.put(named('/dht/provider/x/y'), utf8('now'))
    expect([store.has(named('/dht/record/x')), store.has(named('/dht/provider/x/y'))]).toEqual([false, false])
  })

  it('forgets a record that is over', async () => {
    const store = storeOf(10)
    const key = generateKey()
    store.put(nameOf(key), await stored(key))
    now += 3600_000
    expect(store.has(nameOf(key))).toBe(false)
    expect(() => store.get(nameOf(key))).toThrowError(expect.objectContaining({ name: 'NotFoundError' }) as Error)
  })

  it('makes room by dropping what is over, then what is farthest from it, and never its own', async () => {
    const keys = Array.from({ length: 12 }, generateKey).sort((a, b) => (distance(a) < distance(b) ? -1 : 1))
    const farthest = keys.at(-1)!
    const store = storeOf(4, placeOf(farthest))
    store.put(nameOf(farthest), await stored(farthest))
    for (const key of keys.slice(0, -1).reverse()) store.put(nameOf(key), await stored(key))
    expect(keys.filter((key) => store.has(nameOf(key)))).toEqual([...keys.slice(0, 3), farthest])
    // One that lies farther than all that are kept is refused.
    expect(() => store.put(nameOf(keys[5]!), new Uint8Array())).toThrowError()
    const far = await stored(keys[5]!)
    expect(() => store.put(nameOf(keys[5]!), far)).toThrowError(error('OVERLOADED'))

    now += 3599_000
    store.put(nameOf(keys[1]!), await stored(keys[1]!, 2))
    now += 2000
    store.put(nameOf(keys[5]!), await stored(keys[5]!))
    store.put(nameOf(keys[6]!), await stored(keys[6]!))
    expect(keys.filter((key) => store.has(nameOf(key)))).toEqual([keys[1], keys[5], keys[6]])
  })

  it('keeps so much of the rest, and drops what was written longest ago', async () => {
    const store = storeOf(10)
    for (let i = 0; i < 4097; i++) store.put(named(`/peers/${i}`), Uint8Array.of(i))
    expect([store.has(named('/peers/0')), store.has(named('/peers/1'))]).toEqual([false, true])
    store.put(named('/peers/1'), Uint8Array.of(1))
    store.put(named('/peers/new'), Uint8Array.of(1))
    expect([store.has(named('/peers/1')), store.has(named('/peers/2'))]).toEqual([true, false])
  })

  it('does what libp2p asks of a store', async () => {
    const store = storeOf(10)
    const key = generateKey()
    const [a, b] = [named('/peers/a'), named('/peers/b')]
    store.put(nameOf(key), await stored(key))
    const batch = store.batch()
    batch.put(a, Uint8Array.of(1))
    batch.put(b, Uint8Array.of(2))
    batch.delete(a)
    expect(store.has(b)).toBe(false)
    await batch.commit()
    expect([store.has(a), store.has(b)]).toEqual([false, true])
    const all = async <T>(from: Iterable<T> | AsyncIterable<T>): Promise<T[]> => {
      const out: T[] = []
      for await (const one of from) out.push(one)
      return out
    }
    expect(await all(store.putMany([{ key: a, value: Uint8Array.of(3) }]))).toEqual([a])
    expect(await all(store.getMany([a, b]))).toEqual([{ key: a, value: Uint8Array.of(3) }, { key: b, value: Uint8Array.of(2) }])
    expect((await all(store.query({ prefix: '/peers/', filters: [({ value }) => value[0] === 2] }))).map((pair) => pair.key)).toEqual([b])
    expect(await all(store.queryKeys({ prefix: '/dht/' }))).toEqual([nameOf(key)].map(() => expect.anything() as unknown))
    expect(await all(store.deleteMany([a, nameOf(key)]))).toHaveLength(2)
    expect(await all(store.queryKeys({}))).toEqual([b])
  })
})
