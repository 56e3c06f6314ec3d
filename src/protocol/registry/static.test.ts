import { describe, expect, it } from 'vitest'
import { registryEntries } from '../../../test/fixtures/trade/entries.ts'
import { registrySuite } from '../../testing/registrySuite.ts'
import { staticRegistry } from './static.ts'

registrySuite(
  'staticRegistry',
  () => {
    const entries = registryEntries(3)
    return Promise.resolve({ registry: staticRegistry(entries), entries })
  },
  { describe, it, expect },
)

describe('staticRegistry', () => {
  const [entry, other] = registryEntries(2) as [ReturnType<typeof registryEntries>[0], ReturnType<typeof registryEntries>[0]]

  it.each([
    ['a key of somebody else', { publicKey: other.publicKey }, 'publicKey'],
    ['an endpoint on HTTP', { endpoint: 'https://seller.example' }, 'endpoint'],
    ['an endpoint that is no URL', { endpoint: '10.0.0.1:9000' }, 'endpoint'],
  ])('refuses an entry with %s', (_name, changes, field) => {
    expect(() => staticRegistry([{ ...entry, ...changes }])).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT', details: { field } }))
  })

  it.each([
    ['a compressed key', { publicKey: `0x02${'11'.repeat(32)}` as const }],
    ['a short menu hash', { menuHash: '0x12' as const }],
  ])('refuses an entry with %s', (_name, changes) => {
    expect(() => staticRegistry([{ ...entry, ...changes }])).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })
})
