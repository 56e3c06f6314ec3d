/**
 * The EIP-712 types that `DataTrade.sol` checks.
 * @module
 */
import { computeFrom } from '../core/argument.ts'
import { toHex, type Hex } from '../core/bytes.ts'
import { typedDataHasher } from '../core/crypto/typedData.ts'
import type { Order } from './order.ts'

/** The EIP-712 domain of one deployed order contract. */
export interface DataTradeDomain {
  readonly name: 'Sluice DataTrade'
  readonly version: '1'
  readonly chainId: bigint
  readonly verifyingContract: string
  /**
   * The chain's id when the contract was deployed (`originChainId` of the contract): orders are named under it, whatever
   * the chain's id is now. @default chainId
   */
  readonly originChainId?: bigint | undefined
}

/** The domain of the order contract at an address. */
export function dataTradeDomain(chainId: bigint, verifyingContract: string, originChainId?: bigint): DataTradeDomain {
  const domain = { name: 'Sluice DataTrade', version: '1', chainId, verifyingContract } as const
  return originChainId === undefined || originChainId === chainId ? domain : { ...domain, originChainId }
}

/** Buyer: "of this order I acknowledge and pay the first `transferred` bytes". */
export interface Ack {
  readonly orderId: Hex
  readonly transferred: number
}

/** Seller: "chunk `index` has this leaf hash, and this proof leads from it to the root". */
export interface ChunkClaim {
  readonly orderId: Hex
  readonly index: number
  readonly leaf: Hex
  /** keccak-256 of the packed sibling hashes. */
  readonly proofHash: Hex
}

/** Either side: what it thinks of the other, 1 to 5. */
export interface Rating {
  readonly orderId: Hex
  readonly score: number
  /** keccak-256 of the comment's UTF-8 bytes. */
  readonly commentHash: Hex
}

/** The messages by type. */
export interface DataTradeMessages {
  readonly Order: Order
  readonly Ack: Ack
  readonly ChunkClaim: ChunkClaim
  readonly Rating: Rating
}

/** Fields of each type, in the order in which they are hashed. */
export const dataTradeTypes = {
  Order: [
    { name: 'buyer', type: 'address' },
    { name: 'seller', type: 'address' },
    { name: 'token', type: 'address' },
    { name: 'ackSigner', type: 'address' },
    { name: 'price', type: 'uint256' },
    { name: 'totalData', type: 'uint64' },
    { name: 'chunks', type: 'uint64' },
    { name: 'dataRoot', type: 'bytes32' },
    { name: 'deadline', type: 'uint64' },
    { name: 'salt', type: 'bytes32' },
  ],
  Ack: [
    { name: 'orderId', type: 'bytes32' },
    { name: 'transferred', type: 'uint64' },
  ],
  ChunkClaim: [
    { name: 'orderId', type: 'bytes32' },
    { name: 'index', type: 'uint64' },
    { name: 'leaf', type: 'bytes32' },
    { name: 'proofHash', type: 'bytes32' },
  ],
  Rating: [
    { name: 'orderId', type: 'bytes32' },
    { name: 'score', type: 'uint8' },
    { name: 'commentHash', type: 'bytes32' },
  ],
} as const

/** A function from message to 32-byte digest for each type. */
export type DataTradeDigests = { readonly [T in keyof DataTradeMessages]: (message: DataTradeMessages[T]) => Uint8Array }

/** Prepares the digests of a domain: what doesn't change is hashed once. */
export function dataTradeDigests(domain: DataTradeDomain): DataTradeDigests {
  return computeFrom('domain', 'what dataTradeDomain() returns', () => digestsOf(domain))
}

function digestsOf(domain: DataTradeDomain): DataTradeDigests {
  const origin = { ...domain, chainId: domain.originChainId ?? domain.chainId }
  const hasher = <T extends keyof DataTradeMessages>(type: T): ((message: DataTradeMessages[T]) => Uint8Array) => {
    const hash = typedDataHasher(type === 'Order' ? origin : domain, type, dataTradeTypes[type])
    return (message) => hash(message as unknown as Record<string, string | number | bigint>)
  }
  return { Order: hasher('Order'), Ack: hasher('Ack'), ChunkClaim: hasher('ChunkClaim'), Rating: hasher('Rating') }
}

/** The id of an order under a domain. */
export function orderId(domain: DataTradeDomain, order: Order): Hex {
  const digests = dataTradeDigests(domain)
  return computeFrom('order', 'all terms of an order, as Order has them', () => toHex(digests.Order(order)))
}
