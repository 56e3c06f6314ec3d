/**
 * What runs inside the browser: bundled by `openSuites`, called by the tests through `window.suites`.
 * @module
 */
import { fromHex, toHex } from '../../../src/core/bytes.ts'
import { browserVault } from '../../../src/core/crypto/browserVault.ts'
import { engine, type Secp256k1 } from '../../../src/core/crypto/engine.ts'
import { nobleSecp256k1 } from '../../../src/core/crypto/noble.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { openIdbStore } from '../../../src/core/store/openIdbStore.ts'
import { storeSuite } from '../../../src/testing/storeSuite.ts'
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

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'no error'
  } catch (error) {
    return isSluiceError(error) ? error.code : 'no SluiceError'
  }
}

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
}

Object.assign(globalThis, { suites })
