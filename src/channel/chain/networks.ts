import { Contract, ZeroAddress, type Provider } from 'ethers'
import { assertContract } from '../../contracts/assertContract.ts'
import { tokenNetworkDigests, tokenNetworkDomain, type TokenNetworkDigests } from '../../contracts/channelTypes.ts'
import { tokenNetworkReader } from '../../contracts/tokenNetworkView.ts'
import type { Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { SluiceError } from '../../core/errors.ts'

/** A token network, as its contract says. Addresses are in lower case. */
export interface TokenNetworkInfo {
  readonly address: Hex
  /** Zero for ETH. */
  readonly token: Hex
  /** Seconds in which a closing can be answered. */
  readonly challengePeriod: number
  readonly secretRegistry: Hex
  /** Under whose domain delegations are signed. */
  readonly registry: Hex
  readonly digests: TokenNetworkDigests
}

/**
 * Reads what is fixed of a token network, and makes sure that it and all that it names are what they should be: money goes
 * to each of them.
 * @throws `BAD_ARGUMENT`; `NOT_DEPLOYED` for anything but a network of its registry; `WRONG_CHAIN`, `RPC_FAILED`.
 */
export async function readTokenNetwork(provider: Provider, chainId: bigint, address: string): Promise<TokenNetworkInfo> {
  const option = 'tokenNetwork'
  const place = { provider, chainId }
  await assertContract('TokenNetwork', { ...place, address, option })
  const rpc = createRpc({ provider })
  const contract = tokenNetworkReader(address, provider)
  const [token, challengePeriod, secretRegistry, registry] = await rpc.ask(
    'token network',
    () => Promise.all([contract.token(), contract.challengePeriod(), contract.secretRegistry(), contract.registry()]),
    { attempts: 3 },
  )
  await Promise.all([
    assertContract('TokenNetworkRegistry', { ...place, address: registry, option: `${option}.registry` }),
    assertContract('SecretRegistry', { ...place, address: secretRegistry, option: `${option}.secretRegistry` }),
    token === ZeroAddress || assertContract('ERC-20', { ...place, address: token, option: `${option}.token` }),
  ])
  // Anyone can deploy a network that names a registry; only the registry's own have its code.
  const networks = new Contract(registry, ['function tokenNetworks(address) view returns (address)'], provider)
  const ofToken = (): Promise<string> => networks['tokenNetworks']!(token) as Promise<string>
  const known = await rpc.ask('token network of the registry', ofToken, { attempts: 3 })
  if (lower(known) !== lower(address)) {
    throw new SluiceError(
      'NOT_DEPLOYED',
      `${option} ${address} is not a network of the TokenNetworkRegistry ${registry} that it names; for token ${token} that has ${known}`,
      { details: { option, address, chainId, registry, token, known } },
    )
  }
  return {
    address: lower(address),
    token: lower(token),
    challengePeriod: Number(challengePeriod),
    secretRegistry: lower(secretRegistry),
    registry: lower(registry),
    digests: tokenNetworkDigests(tokenNetworkDomain(chainId, address)),
  }
}

/** An address in the form in which it is compared. */
export function lower(address: string): Hex {
  return address.toLowerCase() as Hex
}
