/**
 * What runs inside the browser: bundled by `openSuites`, called by the tests through `window.suites`.
 * @module
 */
import { fromHex, toHex } from '../../../src/core/bytes.ts'
import { browserVault } from '../../../src/core/crypto/browserVault.ts'
import { engine, type Secp256k1 } from '../../../src/core/crypto/engine.ts'
import { SluiceError } from '../../../src/core/errors.ts'
import { nobleSecp256k1 } from '../../../src/core/crypto/noble.ts'
import { openIdbStore } from '../../../src/core/store/openIdbStore.ts'
import type { CloseReason, Packet, Transport } from '../../../src/protocol/transport.ts'
import { connectWebSocket } from '../../../src/protocol/websocket/browser.ts'
import { storeSuite } from '../../../src/testing/storeSuite.ts'
import { codeOf } from '../../../src/testing/suite.ts'
import vectors from '../../fixtures/crypto/secp256k1.json' with { type: 'json' }

/** How a test went. */
export interface Outcome {
  readonly name: string
  readonly error?: string
}

/** Runs the tests that `define` registers, one after the other. */
async function run(define: (it: (name: string, body: () => Promise<void>) => void) => void): Promise<Outcome[]> {
  const tests: { name: string; body: () => Promise<void> }[] = []
  define((name, body) => void tests.push({ name, body }))
  const outcomes: Outcome[] = []
  for (const { name, body } of tests) {
    outcomes.push(await body().then(() => ({ name }), (error: unknown) => ({ name, error: String(error) })))
  }
  return outcomes
}

/** Undefined has no JSON; here it has. */
const text = (value: unknown): string => JSON.stringify(value, (_, each: unknown) => (each === undefined ? 'undefined' : each)) ?? 'undefined'

function expect(actual: unknown): { toEqual(expected: unknown): void } {
  return {
    toEqual: (expected) => {
      if (text(actual) !== text(expected)) throw new Error(`expected ${text(expected)}, got ${text(actual)}`)
    },
  }
}

const bytes = (hex: string): Uint8Array => fromHex(`0x${hex}`)

function curveTests(curve: Secp256k1, it: (name: string, body: () => Promise<void>) => void): void {
  for (const { what, digest, signature, publicKey, secretKey } of vectors.valid) {
    it(`${curve.name}: ${what}`, async () => {
      expect(toHex(curve.recover(bytes(digest), bytes(signature)))).toEqual(`0x${publicKey}`)
      expect(curve.verify(bytes(digest), bytes(signature), bytes(publicKey))).toEqual(true)
      if (secretKey) expect(toHex(curve.sign(bytes(digest), bytes(secretKey)))).toEqual(`0x${signature}`)
    })
  }
  for (const { what, digest, signature, publicKey } of vectors.invalid) {
    it(`${curve.name} refuses ${what}`, async () => {
      expect(await codeOf(() => curve.recover(bytes(digest), bytes(signature)))).toEqual('BAD_SIGNATURE')
      expect(curve.verify(bytes(digest), bytes(signature), bytes(publicKey))).toEqual(false)
    })
  }
}

export const suites = {
  /** The store suite on IndexedDB. */
  store: () => {
    let count = 0
    const open = async () => {
      const name = `suite-${count++}`
      return { store: await openIdbStore(name), reopen: () => openIdbStore(name) }
    }
    return run((it) => storeSuite('IndexedDB', open, { describe: (_, body) => body(), it, expect }))
  },

  /** The vectors that every engine passes, with what a browser takes by default, and with noble. */
  crypto: () =>
    run((it) => {
      const { secp256k1, keccak256, sha256, digest } = engine()
      for (const curve of [secp256k1, nobleSecp256k1]) curveTests(curve, it)
      it('hashes', async () => {
        const abc = new TextEncoder().encode('abc')
        const hash = '0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
        expect(toHex(sha256(abc))).toEqual(hash)
        expect(toHex(await digest(abc.subarray(0, 1), abc.subarray(1)))).toEqual(hash)
        expect(toHex(keccak256(abc))).toEqual('0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45')
      })
    }),

  /** Secrets under a key that the browser keeps. */
  vault: () =>
    run((it) => {
      const secret = bytes('0123456789abcdef')
      it('opens what it sealed, also after it was opened anew', async () => {
        const sealed = await (await browserVault('a')).seal(secret)
        expect([...await (await browserVault('a')).open(sealed)]).toEqual([...secret])
      })
      it('seals nothing in plain sight, and never twice alike', async () => {
        const vault = await browserVault('a')
        const sealed = [await vault.seal(secret), await vault.seal(secret)].map(toHex)
        expect(sealed.some((each) => each.includes(toHex(secret).slice(2)))).toEqual(false)
        expect(new Set(sealed).size).toEqual(2)
      })
      it('refuses what another sealed, and what was changed', async () => {
        const sealed = await (await browserVault('a')).seal(secret)
        const other = await browserVault('b')
        expect(await codeOf(() => other.open(sealed))).toEqual('BAD_KEY')
        sealed[sealed.length - 1]! ^= 1
        const vault = await browserVault('a')
        expect(await codeOf(() => vault.open(sealed))).toEqual('BAD_KEY')
      })
    }),

  /** The browser's WebSocket, against the server of `scriptedServer.ts`. */
  transport: (url: string) =>
    run((it) => {
      const open = (path: string): Promise<Transport> => connectWebSocket(`${url}/${path}`, {})
      const plain = (packet: Packet | undefined): unknown => (packet instanceof Uint8Array ? [...packet] : packet)
      it('carries text and bytes as they are, in order, both ways', async () => {
        const link = await open('echo')
        const ear = listen(link)
        const sent: Packet[] = ['ü 量 😀', Uint8Array.of(1, 2, 3), '', new Uint8Array(0), '\u0000', Uint8Array.of(0)]
        for (const packet of sent) link.send(packet)
        await ear.heard(sent.length)
        expect(ear.packets.map(plain)).toEqual(sent.map(plain))
        link.close()
        expect(await ear.closed).toEqual({ code: 1000, reason: '' })
      })
      it('carries a frame of 4 MiB', async () => {
        const link = await open('echo')
        const ear = listen(link)
        const big = new Uint8Array(4 * 1024 * 1024 + 3000).fill(7)
        link.send(big)
        await link.drained()
        await ear.heard(1)
        expect([ear.packets[0]!.length, ear.packets[0]!.at(-1)]).toEqual([big.length, 7])
        link.close()
      })
      it('holds what comes before anyone receives, the end included', async () => {
        const link = await open('greet')
        await pause(100)
        const ear = listen(link)
        expect(await ear.closed).toEqual({ code: 1001, reason: 'enough for today' })
        expect(ear.packets.map(plain)).toEqual(['one', [2]])
      })
      it('says that a link was lost', async () => {
        const link = await open('drop')
        expect(await listen(link).closed).toEqual({ code: 1006, reason: '' })
        link.send('to nobody')
        await link.drained()
      })
      it('says that a rule was broken, by a code that browsers may send', async () => {
        const link = await open('greet')
        let handed = 0
        const closed = new Promise<CloseReason>((resolve) =>
          link.receive({
            packet: () => {
              handed++
              throw new SluiceError('BAD_MESSAGE', 'not what was ordered')
            },
            closed: resolve,
          }),
        )
        await closed
        expect(handed).toEqual(1)
        const told = await open('last')
        const ear = listen(told)
        await ear.heard(1)
        expect(ear.packets[0]).toEqual('4008 not what was ordered')
      })
      it('says that nobody is there', async () => {
        expect(await codeOf(() => connectWebSocket('ws://127.0.0.1:9', {}))).toEqual('CONNECTION_FAILED')
        expect(await codeOf(() => connectWebSocket('not a url', {}))).toEqual('CONNECTION_FAILED')
        expect(await codeOf(() => connectWebSocket(`${url}/echo`, { signal: AbortSignal.abort() }))).toEqual('ABORTED')
      })
    }),
}

/** Keeps what a transport hands over. */
function listen(link: Transport) {
  const packets: Packet[] = []
  let changed = (): void => {}
  const closed = new Promise<CloseReason>((resolve) =>
    link.receive({ packet: (packet) => (packets.push(packet), changed()), closed: resolve }),
  )
  return {
    packets,
    closed,
    heard: async (count: number): Promise<void> => {
      while (packets.length < count) await new Promise<void>((resolve) => (changed = resolve))
    },
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

Object.assign(globalThis, { suites })
