import { entries } from './scripts/entries.mjs'

/** @type {Partial<import('typedoc').TypeDocOptions>} */
const options = {
  name: 'Sluice',
  entryPoints: Object.values(entries).map(({ source }) => source),
  entryPointStrategy: 'resolve',
  out: 'docs/api',
  readme: 'README.md',
  includeVersion: true,
  excludeInternal: true,
  // `npm run types` does that, for everything and not only for what is documented.
  skipErrorChecking: true,
  disableSources: true,
  // TypeChain's: the ABI beside it says the same, and the Solidity source says it better.
  exclude: ['src/contracts/generated/types/**'],
  intentionallyNotExported: [
    ...['DataTrade', 'DataTradeInterface', 'Registry', 'RegistryInterface', 'TestToken', 'TokenNetworkDigests'],
    ...['SecretRegistry', 'TokenNetwork', 'TokenNetworkRegistry', 'TowerDeposit', 'ProxyTransfer', 'Evidence'].flatMap(name => [name, `${name}Interface`]),
    // Schemas; what is public is the type of what they let through.
    ...['payloads', 'paymentKind', 'mode'].map(name => `src/protocol/wire.ts:${name}`),
    ...['totals', 'category', 'exchangeRow', 'logRow', 'notice', 'profile', 'opened', 'productBill', 'productDetails', 'productSummary', 'voteDetails', 'voteSummary']
      .map(name => `src/des/market.ts:${name}`),
    ...['requestStates', 'sourceStates'].map(name => `src/des/wire/result.ts:${name}`),
  ],
  validation: { notExported: true, invalidLink: true, notDocumented: true },
  requiredToBeDocumented: ['Enum', 'Class', 'Function', 'Interface', 'TypeAlias', 'Variable'],
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
}
export default options
