import { amount, assertArguments } from '../core/argument.ts'
import { SluiceError } from '../core/errors.ts'

/** Where Sluice's contracts are on one chain. */
export interface Deployment {
  /** Address of `DataTrade.sol`. */
  readonly dataTrade: string
  /** Address of `Registry.sol`. */
  readonly registry: string
  /** Block of the first of them: nothing of interest lies before it. */
  readonly fromBlock: number
}

/** Where the contracts of payment channels are on one chain. */
export interface ChannelDeployment {
  /** Address of `SecretRegistry.sol`. */
  readonly secretRegistry: string
  /** Address of `TokenNetworkRegistry.sol`, which knows the network of each token. */
  readonly tokenNetworkRegistry: string
  /** Address of `TowerDeposit.sol`, for rewards in ETH. */
  readonly towerDeposit: string
  /** Block of the first of them: nothing of interest lies before it. */
  readonly fromBlock: number
}

/** Where the contracts of a data exchange service are on one chain. */
export interface ExchangeDeployment {
  /** Address of `ProxyTransfer.sol`. */
  readonly proxyTransfer: string
  /** Address of `Evidence.sol`. */
  readonly evidence: string
  /** Block of the first of them: nothing of interest lies before it. */
  readonly fromBlock: number
}

/** The deployments that everyone can use, by chain id. None yet: whoever runs a market deploys. */
export const deployments: Readonly<Record<string, Deployment>> = {}

/**
 * The public deployment on a chain.
 * @throws `NOT_DEPLOYED` if there is none.
 */
export function deployment(chainId: bigint): Deployment {
  assertArguments({ chainId }, { chainId: amount(256) })
  const found = Object.hasOwn(deployments, String(chainId)) ? deployments[String(chainId)] : undefined
  if (found) return found
  throw new SluiceError(
    'NOT_DEPLOYED',
    `no public deployment on chain ${chainId}: pass the addresses of the contracts, or deploy them with deployContracts of sluice-sdk/contracts/deploy`,
    { details: { chainId } },
  )
}
