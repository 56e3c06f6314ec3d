/**
 * A process that owns a store: writes a count into it at each line of its input, and tells how that went.
 *
 *     node sqlOwner.testing.ts URL STORE LEASE
 * @module
 */
import process from 'node:process'
import { createInterface } from 'node:readline'
import { utf8 } from '../bytes.ts'
import { isSluiceError } from '../errors.ts'
import { openPostgres } from '../sql/openPostgres.ts'
import { sqlStore } from './sqlStore.ts'

const [url, name, lease] = process.argv.slice(2)
const store = await sqlStore(openPostgres({ url: url! }), name!, { lease: Number(lease) })
process.stdout.write('open\n')
let count = 0
for await (const _ of createInterface({ input: process.stdin })) {
  try {
    await store.write([{ key: 'count', value: utf8(String(++count)) }])
    process.stdout.write(`wrote ${count}\n`)
  } catch (error) {
    process.stdout.write(`${isSluiceError(error) ? error.code : String(error)}\n`)
  }
}
