import { assertArguments, either, listOf, rule, signalOf, text } from '../../core/argument.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { type AsyncCloseable, closes } from '../../core/dispose.ts'
import { assertArgument } from '../../core/errors.ts'
import { isAccount } from '../../protocol/registry/registry.ts'
import { MAX_ENDPOINTS, type Discovery } from './discovery.ts'

/**
 * Nodes that are written down in the program: for tests, and for partners that stay where they are.
 * @param known Endpoints by account, which may be spelt in either case.
 * @throws `BAD_ARGUMENT` when a key is no account.
 */
export function staticDiscovery(known: Readonly<Record<string, string | readonly string[]>>): Discovery & AsyncCloseable {
  assertArguments({ known }, { known: rule('endpoints by account', (value) => typeof value === 'object' && value !== null) })
  const byAccount = new Map<string, readonly string[]>()
  for (const [account, endpoints] of Object.entries(known)) {
    assertArgument(isAccount(account), 'known', 'endpoints by account')
    assertArguments({ known: endpoints }, { known: either(text(1), listOf(text(1))) })
    byAccount.set(account.toLowerCase(), (typeof endpoints === 'string' ? [endpoints] : endpoints).slice(0, MAX_ENDPOINTS))
  }
  return {
    ...closes,
    find: async (account, findOptions) => {
      throwIfAborted(signalOf(findOptions), 'looking for a node')
      return (typeof account === 'string' && byAccount.get(account.toLowerCase())) || []
    },
    close: async () => {},
  }
}
