/**
 * The registry contract as a registry.
 * @module
 */
import { hexlify, type Provider, type Signer } from 'ethers'
import {
  address as addressRule,
  assertArguments,
  connectedSigner,
  having,
  hexText,
  optional,
  provider as providerRule,
  shape,
  signalOf,
} from '../../core/argument.ts'
import { assertContract } from '../../contracts/assertContract.ts'
import { DATA_SERVICE, registryContract, registryInterface } from '../../contracts/registry.ts'
import type { Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { createSender } from '../../core/chain/sender.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { isSluiceError } from '../../core/errors.ts'
import { revertData, revertError } from '../../core/chain/revert.ts'
import {
  assertEntry,
  type EndpointRule,
  isAccount,
  listRules,
  noSuchSeller,
  type PublishingRegistry,
  type Registry,
  type RegistryEntry,
  tryEntry,
} from './registry.ts'

/** Options of {@link contractRegistry}. */
export interface ContractRegistryOptions {
  /** Address of the registry contract. */
  readonly address: string
  /** Which list to read: 32 bytes as hex. @default sellers of data */
  readonly service?: string | undefined
  /** What its endpoints look like; other entries are passed over. @default URLs of WebSockets */
  readonly endpoints?: EndpointRule | undefined
}

/** Entries that one call reads. */
const PAGE = 100

const optionRules = {
  address: addressRule,
  service: /* @__PURE__ */ optional(/* @__PURE__ */ hexText(32)),
  endpoints: /* @__PURE__ */ optional(/* @__PURE__ */ having('an EndpointRule with accepts()', 'accepts')),
}

/** Reads the registry contract. */
export function contractRegistry(provider: Provider, options: ContractRegistryOptions): Registry {
  assertArguments({ provider }, { provider: providerRule })
  assertArguments(options, optionRules, 'options')
  const { address, service = DATA_SERVICE, endpoints } = options
  const contract = registryContract(address, provider)
  const rpc = createRpc({ provider })
  return {
    find: async (account, options) => {
      const signal = signalOf(options)
      throwIfAborted(signal, 'looking for a seller')
      if (!isAccount(account)) throw noSuchSeller(account)
      try {
        const raw = await rpc.ask('registry entry', () => contract.get(service, account).catch(asRevert), { attempts: 3, signal })
        return assertEntry(entryOf(raw), endpoints)
      } catch (error) {
        if (isSluiceError(error, 'NOT_REGISTERED')) throw noSuchSeller(account)
        throw error
      }
    },
    async *list(options = {}) {
      assertArguments(options, listRules, 'options')
      const { filter = () => true, signal } = options
      // All pages at one block: an entry that is withdrawn meanwhile would move another past us.
      const blockTag = await rpc.head({ attempts: 3, signal })
      for (let from = 0; ; from += PAGE) {
        const page = await rpc.ask('registry entries', () => contract.list(service, from, PAGE, { blockTag }), { attempts: 3, signal })
        for (const raw of page) {
          const entry = tryEntry(entryOf(raw), endpoints)
          if (entry && filter(entry)) yield entry
        }
        if (page.length < PAGE) return
      }
    },
  }
}

/**
 * The registry contract for an account that enters itself.
 * @throws `BAD_ARGUMENT`; `NOT_DEPLOYED` when there is no registry at the address; `WRONG_CHAIN`, `RPC_FAILED`.
 */
export async function publishingRegistry(signer: Signer, options: ContractRegistryOptions): Promise<PublishingRegistry> {
  assertArguments({ signer }, { signer: connectedSigner })
  assertArguments(options, optionRules, 'options')
  const { address, service = DATA_SERVICE, endpoints } = options
  const provider = signer.provider!
  const chainId = await createRpc({ provider }).chainId({ attempts: 2 })
  await assertContract('Registry', { provider, chainId, address, option: 'address' })
  const account = await signer.getAddress()
  const registry = contractRegistry(provider, options)
  const send = async (data: string, label: string, signal: AbortSignal | undefined): Promise<void> => {
    const sender = await createSender({ signer, interfaces: [registryInterface] })
    try {
      await sender.send({ to: address, data }, { label, signal })
    } finally {
      await sender.close()
    }
  }
  return {
    ...registry,
    publish: async (entry, publishOptions) => {
      const signal = signalOf(publishOptions)
      assertArguments({ entry }, { entry: shape('an entry with endpoint, publicKey and menuHash', {}) })
      const { endpoint, publicKey, menuHash } = assertEntry({ ...entry, account }, endpoints)
      const known = await registry.find(account, { signal }).catch((error: unknown) => {
        if (isSluiceError(error, 'NO_SUCH_SELLER')) return undefined
        throw error
      })
      if (known?.endpoint === endpoint && known.menuHash === menuHash) return
      const data = known
        ? registryInterface.encodeFunctionData('update', [service, endpoint, menuHash])
        : registryInterface.encodeFunctionData('register', [service, endpoint, publicKey, menuHash])
      await send(data, 'publish registry entry', signal)
    },
    withdraw: async (withdrawOptions) =>
      send(registryInterface.encodeFunctionData('withdraw', [service]), 'withdraw registry entry', signalOf(withdrawOptions)),
  }
}

interface RawEntry {
  readonly account: string
  readonly endpoint: string
  readonly publicKey: string
  readonly menuHash: string
}

/** The contract doesn't look at URLs: what it holds is still to be checked. */
function entryOf({ account, endpoint, publicKey, menuHash }: RawEntry): RegistryEntry {
  return { account, endpoint, publicKey: hexlify(publicKey) as Hex, menuHash: menuHash as Hex }
}

function asRevert(error: unknown): never {
  const data = revertData(error)
  throw data === undefined ? error : revertError(data, [registryInterface])
}
