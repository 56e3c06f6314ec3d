import { assertArguments, listOf, rule, signalOf } from '../../core/argument.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { assertEntry, isAccount, listRules, noSuchSeller, type Registry, type RegistryEntry } from './registry.ts'

/**
 * A registry that is a list in the program.
 * @throws `BAD_ARGUMENT` when an entry is malformed or its key isn't the account's.
 */
export function staticRegistry(entries: readonly RegistryEntry[]): Registry {
  assertArguments({ entries }, { entries: listOf(rule('an entry', (value) => typeof value === 'object' && value !== null)) })
  const byAccount = new Map(entries.map((entry) => [assertEntry(entry).account.toLowerCase(), entry]))
  return {
    find: async (account, options) => {
      const signal = signalOf(options)
      throwIfAborted(signal, 'looking for a seller')
      const entry = isAccount(account) ? byAccount.get(account.toLowerCase()) : undefined
      if (!entry) throw noSuchSeller(account)
      return entry
    },
    async *list(options = {}) {
      assertArguments(options, listRules, 'options')
      const { filter = () => true, signal } = options
      for (const entry of byAccount.values()) {
        throwIfAborted(signal, 'listing sellers')
        if (filter(entry)) yield entry
      }
    },
  }
}
