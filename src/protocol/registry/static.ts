import { assertArguments, listOf, rule } from '../../core/argument.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { assertEntry, noSuchSeller, type Registry, type RegistryEntry } from './registry.ts'

/**
 * A registry that is a list in the program.
 * @throws `BAD_ARGUMENT` when an entry is malformed or its key isn't the account's.
 */
export function staticRegistry(entries: readonly RegistryEntry[]): Registry {
  assertArguments({ entries }, { entries: listOf(rule('an entry', (value) => typeof value === 'object' && value !== null)) })
  const byAccount = new Map(entries.map((entry) => [assertEntry(entry).account.toLowerCase(), entry]))
  return {
    find: async (account, { signal } = {}) => {
      throwIfAborted(signal, 'looking for a seller')
      const entry = byAccount.get(String(account).toLowerCase())
      if (!entry) throw noSuchSeller(account)
      return entry
    },
    async *list({ filter = () => true, signal } = {}) {
      for (const entry of byAccount.values()) {
        throwIfAborted(signal, 'listing sellers')
        if (filter(entry)) yield entry
      }
    },
  }
}
