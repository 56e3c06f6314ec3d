import { assertEntry, noSuchSeller, type Registry, type RegistryEntry } from './registry.ts'

/**
 * A registry that is a list in the program.
 * @throws `BAD_ARGUMENT` when an entry is malformed or its key isn't the account's.
 */
export function staticRegistry(entries: readonly RegistryEntry[]): Registry {
  const byAccount = new Map(entries.map((entry) => [entry.account.toLowerCase(), assertEntry(entry)]))
  return {
    find: (account) => {
      const entry = byAccount.get(account.toLowerCase())
      return entry ? Promise.resolve(entry) : Promise.reject(noSuchSeller(account))
    },
    // eslint-disable-next-line @typescript-eslint/require-await -- the port is asynchronous
    async *list({ filter = () => true } = {}) {
      for (const entry of byAccount.values()) if (filter(entry)) yield entry
    },
  }
}
