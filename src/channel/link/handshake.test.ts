import { describe, expect, it } from 'vitest'
import { fromHex, toHex, utf8 } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { generateKey, type Key } from '../../core/crypto/key.ts'
import { personalDigest } from '../../core/crypto/signature.ts'
import { SluiceError } from '../../core/errors.ts'
import { memoryTransportPair } from '../../protocol/memoryTransport.ts'
import type { CloseReason, Packet, Transport } from '../../protocol/transport.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { decode, encode } from '../wire/codec.ts'
import { authBytes, authLayout, handshake, HANDSHAKE_TIMEOUT, helloLayout, type HandshakeOptions, type HandshakeTerms } from './handshake.ts'
import { accountOf, createDelegated, createIdentity, createTerms, listenTo, middle, settle, shakeHands } from './link.testing.ts'

const accepting: HandshakeOptions = { dialled: false }

/** A handshake with somebody who speaks for himself: what it ends with, and what he is sent. */
function facing(terms: HandshakeTerms, options = accepting) {
  const [node, hostile] = memoryTransportPair()
  const heard = listenTo(hostile)
  const outcome = handshake(node, terms, options)
  outcome.catch(() => {})
  return { hostile, outcome, heard }
}

/** The hello of somebody, with what is wrong about it. */
const helloOf = (terms: HandshakeTerms, changes: Partial<Parameters<typeof encode<typeof helloLayout>>[1]> = {}): Uint8Array =>
  encode(helloLayout, {
    version: 1,
    chainId: terms.chainId,
    account: terms.identity.account,
    instance: fromHex(terms.instance),
    ephemeral: engine().secp256k1.publicKey(new Uint8Array(32).fill(7), true),
    nonce: new Uint8Array(32),
    capabilities: 0,
    ...changes,
  })

const refusal = (code: string, field: string): unknown =>
  expect.objectContaining({ code, details: expect.objectContaining({ field }) as unknown })

describe('handshake', () => {
  it('tells both sides who the other is, and gives them the same two keys', async () => {
    const [a, b] = [createTerms(), createTerms({ identity: createDelegated(), capabilities: 0xffffffff })]
    const [ofB, ofA] = await shakeHands(a, b)
    for (const [seen, { identity, instance, capabilities }] of [[ofA, a], [ofB, b]] as const) {
      expect(seen).toMatchObject({ account: identity.account, instance, capabilities, delegation: identity.delegation })
      expect(seen.signer).toBe(accountOf(identity.key))
      expect(toHex(seen.publicKey)).toBe(toHex(identity.key.publicKey))
    }
    expect(ofA.sendKey).toEqual(ofB.receiveKey)
    expect(ofA.receiveKey).toEqual(ofB.sendKey)
    expect(ofA.sendKey).not.toEqual(ofA.receiveKey)
  })

  it('makes other keys each time', async () => {
    const [a, b] = [createTerms(), createTerms()]
    const keys = new Set<string>()
    for (let i = 0; i < 3; i++) for (const { sendKey } of await shakeHands(a, b)) keys.add(toHex(sendKey))
    expect(keys.size).toBe(6)
  })

  it.each([
    ['text', 'hello', 'BAD_MESSAGE', 'hello'],
    ['nothing', new Uint8Array(), 'BAD_MESSAGE', 'version'],
    ['garbage', new Uint8Array(200).fill(0xee), 'VERSION_MISMATCH', 'hello.version'],
    ['a hello cut short', helloOf(createTerms()).subarray(0, 113), 'BAD_MESSAGE', 'capabilities'],
    ['a hello and more', Uint8Array.of(...helloOf(createTerms()), 0), 'BAD_MESSAGE', 'message'],
    ['an older version', helloOf(createTerms(), { version: 0 }), 'VERSION_MISMATCH', 'hello.version'],
    ['a version to come, with a hello of another shape', Uint8Array.of(0, 2, 1), 'VERSION_MISMATCH', 'hello.version'],
    ['another chain', helloOf(createTerms(), { chainId: 1 }), 'WRONG_CHAIN', 'hello.chainId'],
    ['a key off the curve', helloOf(createTerms(), { ephemeral: new Uint8Array(33).fill(5) }), 'BAD_MESSAGE', 'hello.ephemeral'],
    ['a key at infinity', helloOf(createTerms(), { ephemeral: new Uint8Array(33) }), 'BAD_MESSAGE', 'hello.ephemeral'],
  ] as const)('refuses %s, and signs nothing', async (_what, packet: Packet, code, field) => {
    const { hostile, outcome, heard } = facing(createTerms())
    hostile.send(packet)
    await expect(outcome).rejects.toEqual(refusal(code, field))
    await settle()
    expect(heard.packets).toHaveLength(1)
  })

  it('refuses its own account: a mirror, and another node of its own', async () => {
    const terms = createTerms()
    const mirror = memoryTransportPair()
    const outcome = handshake(mirror[0], terms, { dialled: true })
    mirror[1].receive({ packet: (packet) => mirror[1].send(packet), closed: () => {} })
    await expect(outcome).rejects.toEqual(refusal('BAD_MESSAGE', 'hello.account'))
    const another = shakeHands(terms, createTerms({ identity: terms.identity }))
    await expect(another).rejects.toEqual(refusal('BAD_MESSAGE', 'hello.account'))
  })

  it('refuses somebody else than who was dialled, before it signs', async () => {
    const other = createTerms()
    const { hostile, outcome, heard } = facing(createTerms(), { dialled: true, expected: accountOf(generateKey()) })
    hostile.send(helloOf(other))
    await expect(outcome).rejects.toEqual(refusal('BAD_MESSAGE', 'hello.account'))
    expect(heard.packets).toHaveLength(1)
  })

  /** Answers the node's hello as `claimed`, with an auth of one's own making. */
  async function answering(make: (hellos: readonly [Uint8Array, Uint8Array]) => Packet, claimed = createTerms()) {
    const { hostile, outcome, heard } = facing(createTerms())
    const hello = helloOf(claimed)
    hostile.send(hello)
    await settle()
    hostile.send(make([hello, heard.packets[0] as Uint8Array]))
    return outcome
  }
  const authOf = (key: Key, signed: Uint8Array, delegation: Uint8Array = new Uint8Array()): Uint8Array =>
    encode(authLayout, { signature: key.sign(personalDigest(signed)), delegation })

  it('takes the signature over both hellos and the own account, and no other', async () => {
    const claimed = createTerms()
    const { identity } = claimed
    const account = fromHex(identity.account)
    const good = await answering(([mine, theirs]) => authOf(identity.key, authBytes(mine, theirs, account)), claimed)
    expect(good.account).toBe(identity.account)
    const thief = generateKey()
    const wrong: [string, (hellos: readonly [Uint8Array, Uint8Array]) => Packet][] = [
      ['hellos in the other order', ([mine, theirs]) => authOf(identity.key, authBytes(theirs, mine, account))],
      ['the other account', ([mine, theirs]) => authOf(identity.key, authBytes(mine, theirs, theirs.subarray(10, 30)))],
      ['another hello of mine', ([mine, theirs]) => authOf(identity.key, authBytes(mine.with(60, 1), theirs, account))],
      ['an earlier hello of theirs', ([mine, theirs]) => authOf(identity.key, authBytes(mine, theirs.with(80, 1), account))],
      ['the key of a thief', ([mine, theirs]) => authOf(thief, authBytes(mine, theirs, account))],
    ]
    for (const [what, make] of wrong) {
      await expect(answering(make, claimed), what).rejects.toMatchObject({
        code: 'BAD_SIGNATURE',
        message: expect.stringContaining(`auth.signature must be signed by ${identity.account}, but 0x`) as string,
        details: { field: 'auth.signature', expected: identity.account },
      })
    }
    const spoilt = answering(() => encode(authLayout, { signature: new Uint8Array(65), delegation: new Uint8Array() }), claimed)
    await expect(spoilt).rejects.toMatchObject({
      code: 'BAD_SIGNATURE',
      message: expect.stringContaining(`auth.signature is not a signature of ${identity.account}`) as string,
    })
  })

  it('takes a session key whose delegation is valid, and no other', async () => {
    const identity = createDelegated()
    const claimed = createTerms({ identity })
    const account = fromHex(identity.account)
    const make =
      (delegation: Uint8Array) =>
        ([mine, theirs]: readonly [Uint8Array, Uint8Array]): Packet =>
          authOf(identity.key, authBytes(mine, theirs, account), delegation)
    const taken = await answering(make(identity.delegation), claimed)
    expect(taken).toMatchObject({ account: identity.account, signer: accountOf(identity.key) })
    for (const delegation of [Uint8Array.from(identity.delegation).fill(1, 5, 6), createDelegated().delegation, utf8('x')]) {
      await expect(answering(make(delegation), claimed)).rejects.toMatchObject({
        code: 'BAD_SIGNATURE',
        message: `auth.delegation does not let ${accountOf(identity.key)} sign for ${identity.account}`,
      })
    }
    const idle = createTerms()
    const superfluous = answering(
      ([mine, theirs]) => authOf(idle.identity.key, authBytes(mine, theirs, fromHex(idle.identity.account)), utf8('x')),
      idle,
    )
    await expect(superfluous).rejects.toEqual(refusal('BAD_MESSAGE', 'auth.delegation'))
  })

  it('hands on what asking the chain about a delegation throws', async () => {
    const fault = new SluiceError('RPC_FAILED', 'no node')
    const asked = createTerms({ verifyDelegation: () => Promise.reject(fault) })
    await expect(shakeHands(asked, createTerms({ identity: createDelegated() }))).rejects.toBe(fault)
  })

  it('refuses anything in the place of auth, and more than a handshake has', async () => {
    await expect(answering(() => Uint8Array.of(51, 0, 0, 0, 1))).rejects.toEqual(refusal('BAD_MESSAGE', 'signature'))
    await expect(answering(() => 'auth')).rejects.toEqual(refusal('BAD_MESSAGE', 'auth'))
    const { hostile, outcome, heard } = facing(createTerms())
    for (let i = 0; i < 5; i++) hostile.send(helloOf(createTerms()))
    await expect(outcome).rejects.toMatchObject({ code: expect.stringMatching(/BAD_MESSAGE|UNEXPECTED_MESSAGE/) as string })
    expect(await heard.closed).toMatchObject({ code: 1008 })
  })

  it('holds the one packet that may follow while a delegation is checked, and no more', async () => {
    let allow = (_valid: boolean): void => {}
    const asking = createTerms({ verifyDelegation: () => new Promise((resolve) => (allow = resolve)) })
    const run = async (packets: readonly Uint8Array[]) => {
      const pair = memoryTransportPair()
      const mine = handshake(pair[0], asking, { dialled: true })
      mine.catch(() => {})
      const other = await handshake(pair[1], createTerms({ identity: createDelegated() }), accepting)
      const ended = new Promise<CloseReason>((closed) => other.receive({ packet: () => {}, closed }))
      for (const packet of packets) pair[1].send(packet)
      await settle()
      allow(true)
      return { secured: await mine, ended, close: () => pair[1].close(1001, 'bye') }
    }
    const { secured } = await run([Uint8Array.of(1), Uint8Array.of(2)])
    const got: Packet[] = []
    secured.receive({ packet: (packet) => void got.push(packet), closed: () => {} })
    expect(got).toEqual([Uint8Array.of(1), Uint8Array.of(2)])

    const gone = await run([])
    gone.close()
    await settle()
    const told = new Promise<CloseReason>((closed) => gone.secured.receive({ packet: () => {}, closed }))
    expect(await told).toEqual({ code: 1001, reason: 'bye' })

    const { ended } = await run([1, 2, 3].map((n) => Uint8Array.of(n)))
    expect((await ended).code).toBe(1008)
  })

  it('gives up after ten seconds, wherever the other side stops, and leaves no timer', async () => {
    const clock = createManualClock()
    const silent = facing(createTerms({ clock }))
    await clock.advance(HANDSHAKE_TIMEOUT - 1)
    const stopped = facing(createTerms({ clock }))
    stopped.hostile.send(helloOf(createTerms()))
    await clock.advance(1)
    await expect(silent.outcome).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(clock.sleeping).toBe(1)
    await clock.advance(HANDSHAKE_TIMEOUT)
    await expect(stopped.outcome).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(clock.sleeping).toBe(0)
  })

  it('ends when the other side does, and when it is called off', async () => {
    const ended = facing(createTerms())
    ended.hostile.close(1013, 'too many links')
    await expect(ended.outcome).rejects.toMatchObject({ code: 'CONNECTION_LOST', details: { closeCode: 1013, reason: 'too many links' } })
    const stop = new AbortController()
    const { outcome } = facing(createTerms(), { dialled: false, signal: stop.signal })
    stop.abort()
    await expect(outcome).rejects.toMatchObject({ code: 'ABORTED' })
  })

  describe('with somebody in the middle', () => {
    it('succeeds when he only relays', async () => {
      const { ends } = middle()
      await shakeHands(createTerms(), createTerms(), ends)
    })

    it('fails on at least one side for each byte that he changes in either hello or auth', async () => {
      const [a, b] = [createTerms(), createTerms({ identity: createDelegated() })]
      const { seen, ends } = middle()
      await shakeHands(a, b, ends)
      for (const from of [0, 1] as const) {
        for (const index of [0, 1]) {
          const size = seen.filter((entry) => entry.from === from)[index]!.packet.length
          for (let at = 0; at < size; at += index === 0 ? 1 : 7) {
            const { ends } = middle((packet, sender, n) => {
              return [sender === from && n === index ? packet.with(at, packet[at]! ^ 1) : packet]
            })
            const results = await Promise.allSettled(attempts(a, b, ends))
            // Whoever is lied to must notice; the liar's victim is the other side.
            expect(results[1 - from]!.status, `packet ${index} of ${from}, byte ${at}`).toBe('rejected')
          }
        }
      }
    }, 60_000)

    it('fails when he puts a key of his own into a hello', async () => {
      const own = engine().secp256k1.publicKey(new Uint8Array(32).fill(9), true)
      const { ends } = middle((packet, _from, n) => {
        if (n > 0) return [packet]
        return [encode(helloLayout, { ...decode(helloLayout, packet), ephemeral: own })]
      })
      const results = await Promise.allSettled(attempts(createTerms(), createTerms(), ends))
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    })

    it('fails when he joins two nodes that both dialled him', async () => {
      const { ends } = middle()
      const results = await Promise.allSettled(ends.map((end) => closing(end, handshake(end, createTerms(), { dialled: true }))))
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    })

    it('fails when he repeats an earlier handshake', async () => {
      const [a, b] = [createTerms(), createTerms({ identity: createIdentity() })]
      const { seen, ends } = middle()
      await shakeHands(a, b, ends)
      const { hostile, outcome } = facing(b)
      for (const { from, packet } of seen) if (from === 0) hostile.send(packet)
      await expect(outcome).rejects.toMatchObject({ code: 'BAD_SIGNATURE', details: { expected: a.identity.account } })
    })
  })
})

/** Both handshakes; one that fails closes its transport, as an owner does. */
function attempts(a: HandshakeTerms, b: HandshakeTerms, ends: readonly [Transport, Transport]): readonly Promise<unknown>[] {
  return [closing(ends[0], handshake(ends[0], a, { dialled: true })), closing(ends[1], handshake(ends[1], b, accepting))]
}

async function closing<T>(transport: Transport, outcome: Promise<T>): Promise<T> {
  try {
    return await outcome
  } catch (error) {
    transport.close(1008)
    throw error
  }
}
