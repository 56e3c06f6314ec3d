import type { Provider } from 'ethers'
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

/** Reads what is fixed of a token network. @throws `NOT_DEPLOYED` if there is none at the address; `RPC_FAILED`. */
export async function readTokenNetwork(provider: Provider, chainId: bigint, address: string): Promise<TokenNetworkInfo> {
  const rpc = createRpc({ provider })
  const contract = tokenNetworkReader(address, provider)
  const code = await rpc.ask('code of the token network', () => provider.getCode(address), { attempts: 3 })
  if (code === '0x') {
    throw new SluiceError('NOT_DEPLOYED', `there is no token network at ${address} on chain ${chainId}`, {
      details: { address, chainId },
    })
  }
  const [token, challengePeriod, secretRegistry, registry] = await rpc.ask(
    'token network',
    () => Promise.all([contract.token(), contract.challengePeriod(), contract.secretRegistry(), contract.registry()]),
    { attempts: 3 },
  )
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
