import { type ContractRunner, Interface } from 'ethers'
import { computeFrom } from '../core/argument.ts'
import { concatBytes, utf8 } from '../core/bytes.ts'
import { encodeTransferParams, type SignedTransferParams } from '../core/crypto/graphene/index.ts'
import { assertArgument } from '../core/errors.ts'
import { contractAt } from './contractAt.ts'
import { proxyTransferFragments } from './generated/proxyTransferFragments.ts'
import type { ProxyTransfer, ProxyTransferInterface } from './generated/types/ProxyTransfer.ts'

/** The interface of `ProxyTransfer.sol`: encodes calls, decodes logs and errors. */
export const proxyTransferInterface: ProxyTransferInterface = /* @__PURE__ */ new Interface(
  proxyTransferFragments,
) as ProxyTransferInterface

/**
 * The contract of proxy transfers at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const contract = proxyTransferContract(address, proxy)
 * await contract.proxyTransfer(encodeTransfer({ params: signTransferParams(params, key), proxyMemo: cid }))
 * ```
 */
export function proxyTransferContract(address: string, runner?: ContractRunner | null): ProxyTransfer {
  return contractAt<ProxyTransfer>(address, proxyTransferInterface, runner)
}

/** A transfer as its proxy carries it out. */
export interface AuthorisedTransfer {
  /** Signed once. */
  readonly params: SignedTransferParams
  /** What the proxy notes: 1 to 99 bytes of UTF-8. */
  readonly proxyMemo: string
}

/** The most bytes of a proxy memo. */
const MAX_PROXY_MEMO = 99

/**
 * Packs a transfer as `proxyTransfer` takes it; `ProxyTransfer.sol` says how.
 * @throws `BAD_ARGUMENT` naming the field that is out of range.
 */
export function encodeTransfer(transfer: AuthorisedTransfer): Uint8Array {
  return computeFrom('transfer', 'an authorised transfer with params and proxyMemo', () => encode(transfer))
}

function encode({ params, proxyMemo }: AuthorisedTransfer): Uint8Array {
  const binary = encodeTransferParams(params)
  const [signature, ...others] = params.signatures
  assertArgument(signature?.length === 65 && others.length === 0, 'signatures', 'one of 65 bytes')
  const memo = utf8(proxyMemo)
  assertArgument(memo.length > 0 && memo.length <= MAX_PROXY_MEMO, 'proxyMemo', `1 to ${MAX_PROXY_MEMO} bytes`)
  return concatBytes(Uint8Array.of(binary.length), binary, signature, Uint8Array.of(memo.length), memo)
}

/** Packs transfers as `proxyTransfers` takes them. @throws `BAD_ARGUMENT` as {@link encodeTransfer}. */
export function encodeTransfers(transfers: readonly AuthorisedTransfer[]): Uint8Array {
  return computeFrom('transfers', 'a list of authorised transfers', () => concatBytes(...transfers.map(encode)))
}
