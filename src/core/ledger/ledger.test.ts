import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledgerSuite } from '../../testing/ledgerSuite.ts'
import { pgliteEngine, postgresEngine, type SqlEngine } from '../../testing/sqlEngines.ts'

let pglite: SqlEngine
let postgres: SqlEngine

beforeAll(async () => {
  pglite = await pgliteEngine()
  postgres = await postgresEngine()
}, 60_000)
afterAll(async () => {
  await pglite?.stop()
  await postgres?.stop()
})

ledgerSuite('PGlite', () => pglite.open(), { describe, it, expect })
ledgerSuite('PostgreSQL', () => postgres.open(), { describe, it, expect })
