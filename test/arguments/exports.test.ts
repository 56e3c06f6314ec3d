import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { junk, strayError } from './junk.ts'

/** Functions for which text or nothing at all is right: they would make folders, chains and servers of it. */
const ownTests = ['openPglite', 'openStore', 'startDevnet', 'startFakeAlipay', 'openApi', 'SluiceError']

const root = new URL('../../', import.meta.url)
const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
  exports: Record<string, string | { '@sluice/source': string }>
}
for (const [entry, target] of Object.entries(exports)) {
  if (typeof target === 'string') continue
  const exported = (await import(/* @vite-ignore */ new URL(target['@sluice/source'], root).href)) as Record<string, unknown>
  const functions = Object.entries(exported).filter(([name, value]) => typeof value === 'function' && !ownTests.includes(name))
  describe.skipIf(functions.length === 0)(entry, () => {
    it.each(functions)('%s', async (_name, called) => {
      const call = called as (...args: unknown[]) => unknown
      await fc.assert(
        fc.asyncProperty(fc.array(junk, { maxLength: call.length + 2 }), async (args) => {
          expect(await strayError(() => call(...args))).toBeUndefined()
        }),
        { numRuns: 60, seed: 7 },
      )
    })
  })
}
