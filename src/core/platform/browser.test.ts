import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type {} from '../../../test/fixtures/crypto/page.ts'
import { launchChromium } from '../../testing/chromium.ts'
import { toHex } from '../bytes.ts'
import { defaultEngine as nodeEngine } from './node.ts'

let script: string
let browser: Browser
let context: BrowserContext

beforeAll(async () => {
  const result = await build({
    entryPoints: [fileURLToPath(new URL('../../../test/fixtures/crypto/page.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    conditions: ['@sluice/source', 'browser'],
  })
  script = result.outputFiles[0]!.text
  browser = await launchChromium()
}, 60_000)
afterAll(() => browser?.close())

// A context is a profile of its own: its storage is empty.
beforeEach(async () => {
  context = await browser.newContext()
  await context.route('**/*', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>page</title>' }))
})
afterEach(() => context.close())

const openPage = async (origin = 'http://localhost'): Promise<Page> => {
  const page = await context.newPage()
  await page.goto(origin)
  await page.addScriptTag({ content: script })
  return page
}

describe('the IndexedDB store in a real browser', () => {
  it('passes the suite of stores', { timeout: 60_000 }, async () => {
    const page = await openPage()
    const results = await page.evaluate(() => sluice.runStoreSuite())
    expect(results.filter(({ error }) => error !== null)).toEqual([])
    expect(results.length).toBeGreaterThanOrEqual(16)
  })

  it('refuses a second tab, until the first is gone', async () => {
    const first = await openPage()
    await first.evaluate(async () => {
      const store = await sluice.openStore('shop')
      await store.write([{ key: 'a', value: Uint8Array.of(7) }])
    })
    const second = await openPage()
    expect(await second.evaluate(() => sluice.codeOf(() => sluice.openStore('shop')))).toBe('STORE_LOCKED')
    await first.close()
    // The browser frees the lock of a closed tab a moment later.
    await expect
      .poll(() => second.evaluate(() => sluice.codeOf(async () => ((globalThis as { kept?: unknown }).kept = await sluice.openStore('shop')))))
      .toBe('no error')
    const value = await second.evaluate(async () => {
      const { kept } = globalThis as unknown as { kept: Awaited<ReturnType<typeof sluice.openStore>> }
      return [...((await kept.get('a')) ?? [])]
    })
    expect(value).toEqual([7])
  })

  it('stores a small view of a large buffer small', async () => {
    const page = await openPage()
    const stored = await page.evaluate(async () => {
      const store = await sluice.openStore('views')
      await store.write([{ key: 'a', value: new Uint8Array(1 << 20).subarray(5, 6) }])
      return (await store.get('a'))!.buffer.byteLength
    })
    expect(stored).toBe(1)
  })

  it('lets the user delete it, and is closed then', async () => {
    const page = await openPage()
    const outcome = await page.evaluate(async () => {
      const store = await sluice.openStore('gone')
      await store.write([{ key: 'a', value: Uint8Array.of(1) }])
      await new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase('sluice-store:gone')
        request.onsuccess = resolve
        request.onerror = request.onblocked = reject
      })
      const after = await sluice.codeOf(() => store.get('a'))
      const fresh = await sluice.openStore('gone')
      return [after, (await fresh.get('a')) === undefined]
    })
    expect(outcome).toEqual(['STORE_FAILED', true])
  })

  it('says so where there are no Web Locks', async () => {
    const page = await openPage('http://shop.test')
    expect(await page.evaluate(() => isSecureContext)).toBe(false)
    expect(await page.evaluate(() => sluice.codeOf(() => sluice.openStore('x')))).toBe('STORE_FAILED')
  })
})

describe('the vault in a real browser', () => {
  it('opens what it sealed, also after a reload and in another tab', async () => {
    const page = await openPage()
    const sealed = await page.evaluate(async () => {
      const vault = await sluice.openVault('session', () => Promise.reject(new Error('not asked for')))
      return [...(await vault.seal(sluice.utf8('a session key')))]
    })
    expect(Buffer.from(sealed).includes('session key')).toBe(false)
    for (const tab of [page, await openPage()]) {
      await tab.reload()
      await tab.addScriptTag({ content: script })
      const text = await tab.evaluate(async (bytes) => {
        const vault = await sluice.openVault('session', () => Promise.reject(new Error('not asked for')))
        return new TextDecoder().decode(await vault.open(Uint8Array.from(bytes)))
      }, sealed)
      expect(text).toBe('a session key')
    }
  })

  it('makes one key, however many open it at once', async () => {
    const page = await openPage()
    const opened = await page.evaluate(async () => {
      const open = () => sluice.openVault('race', () => Promise.reject(new Error('not asked for')))
      const vaults = await Promise.all([open(), open(), open()])
      const sealed = await vaults[0].seal(sluice.utf8('x'))
      return Promise.all(vaults.map((vault) => sluice.codeOf(() => vault.open(sealed))))
    })
    expect(opened).toEqual(['no error', 'no error', 'no error'])
  })

  it('refuses changed bytes and those of another vault, and never shows its key', async () => {
    const page = await openPage()
    const { codes, extractable, twice } = await page.evaluate(async () => {
      const open = (name: string) => sluice.openVault(name, () => Promise.reject(new Error('not asked for')))
      const [vault, other] = [await open('session'), await open('other')]
      const sealed = await vault.seal(sluice.utf8('secret'))
      const bad = [new Uint8Array(0), sealed.slice(0, 12), sealed.slice(0, -1), Uint8Array.of(...sealed, 0)]
      for (let i = 0; i < sealed.length; i++) bad.push(sealed.map((byte, at) => (at === i ? byte ^ 1 : byte)))
      const codes = await Promise.all(bad.map((each) => sluice.codeOf(() => vault.open(each))))
      codes.push(await sluice.codeOf(() => other.open(sealed)))
      const keys = await new Promise<CryptoKey[]>((resolve) => {
        indexedDB.open('sluice-vault').onsuccess = (event) => {
          const db = (event.target as IDBOpenDBRequest).result
          const request = db.transaction('keys').objectStore('keys').getAll()
          request.onsuccess = () => resolve(request.result as CryptoKey[])
        }
      })
      const twice = sluice.toHex(await vault.seal(sluice.utf8('x'))) === sluice.toHex(await vault.seal(sluice.utf8('x')))
      return { codes, extractable: keys.map((key) => key.extractable), twice }
    })
    expect(new Set(codes)).toEqual(new Set(['BAD_KEY']))
    expect(extractable).toEqual([false, false])
    expect(twice).toBe(false)
  })

  it('says so where there is no WebCrypto', async () => {
    const page = await openPage('http://shop.test')
    expect(await page.evaluate(() => sluice.codeOf(() => sluice.openVault('x', () => Promise.reject(new Error()))))).toBe('BAD_ARGUMENT')
  })
})

describe('the engine in a real browser', () => {
  it.each(['http://localhost', 'http://shop.test'])('hashes and signs as in Node, at %s', async (origin) => {
    const page = await openPage(origin)
    const answers = await page.evaluate(async () => {
      const { engine, nobleSecp256k1, setEngine, resetEngine, toHex } = sluice
      const [digest, secret] = [new Uint8Array(32).fill(7), new Uint8Array(32).fill(9)]
      const long = new Uint8Array(65_536).fill(3)
      const signature = toHex(engine().secp256k1.sign(digest, secret))
      setEngine({ secp256k1: nobleSecp256k1 })
      const noble = toHex(engine().secp256k1.sign(digest, secret))
      resetEngine()
      const { sha256, keccak256 } = engine()
      const digested = toHex(await engine().digest(digest, long))
      return [signature, noble, digested, toHex(sha256(digest, secret)), toHex(keccak256(digest))]
    })
    const [digest, secret] = [new Uint8Array(32).fill(7), new Uint8Array(32).fill(9)]
    const signature = toHex(nodeEngine.secp256k1.sign(digest, secret))
    expect(answers).toEqual([
      signature,
      signature,
      toHex(nodeEngine.sha256(digest, new Uint8Array(65_536).fill(3))),
      toHex(nodeEngine.sha256(digest, secret)),
      toHex(nodeEngine.keccak256(digest)),
    ])
  })
})
