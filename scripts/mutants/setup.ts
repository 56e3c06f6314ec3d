/**
 * Decides, in a test run without one guard, what guards do; or notes which ones refuse something.
 * @module
 */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'

const folder = process.env['SLUICE_GUARDS_FIRED']
const removed = Number(process.env['SLUICE_GUARD'] ?? -1)
const fired = new Set<number>()

Object.assign(globalThis, {
  __guardRefuses(id: number, condition: unknown): unknown {
    if (condition) fired.add(id)
    return id === removed ? false : condition
  },
  __guardHolds(id: number, check: unknown): unknown {
    if (!check) fired.add(id)
    return id === removed ? true : check
  },
})

afterAll(() => {
  const test = expect.getState().testPath
  if (folder === undefined || test === undefined || fired.size === 0) return
  const name = createHash('sha256').update(test).digest('hex').slice(0, 16)
  writeFileSync(join(folder, `fired-${name}.json`), JSON.stringify({ test, fired: [...fired] }))
})
