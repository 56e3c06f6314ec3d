/**
 * What a payer signs so that somebody else may move his money: GXChain's `proxy_transfer` parameters.
 * @module
 */
import { concatBytes, utf8 } from '../../bytes.ts'
import { assertArgument, SluiceError } from '../../errors.ts'
import { engine } from '../engine.ts'
import type { GrapheneKey } from './key.ts'
import { instanceOf, isAccountId, isAssetId, type AccountId, type AssetId } from './objectId.ts'
import { recoverKey } from './signature.ts'
import type { PublicKeyText } from './publicKey.ts'

/** The authorisation of one transfer. */
export interface TransferParams {
  /** Who pays, and signs. */
  readonly from: AccountId
  /** Who is paid. */
  readonly to: AccountId
  /** Who may make the transfer, and keeps `percent` of it. */
  readonly proxyAccount: AccountId
  /** In the smallest unit of the asset, below 2^63. */
  readonly amount: { readonly amount: bigint; readonly assetId: AssetId }
  /** What the proxy keeps, in hundredths of a percent: 10000 is all of it. */
  readonly percent: number
  /** Under 100 bytes of UTF-8. */
  readonly memo: string
  /** When the authorisation ends, in seconds since 1970; below 2^32. */
  readonly expiration: number
}

/** {@link TransferParams} with what its payer signed: 65 bytes each. */
export interface SignedTransferParams extends TransferParams {
  readonly signatures: readonly Uint8Array[]
}

/** All of it: what `percent` is counted in. Source: gxb-core's `GRAPHENE_100_PERCENT`. */
export const HUNDRED_PERCENT = 10_000
/** The most bytes of a memo: the chain wants fewer than 100. */
export const MAX_MEMO_BYTES = 99
/** The most signatures that travel: one is enough, each is looked at. */
export const MAX_SIGNATURES = 16

const MAX_INT64 = 2n ** 63n - 1n

/**
 * The binary form: with no signatures it is what is signed, with them what the chain stores.
 *
 * Source: gxb-core's `proxy_transfer_params` in Graphene's serialisation: little endian, the numbers of the names as
 * varints, lengths as varints.
 * @throws `BAD_ARGUMENT` naming the field that is out of range.
 */
export function encodeTransferParams(params: TransferParams, signatures: readonly Uint8Array[] = []): Uint8Array {
  const { from, to, proxyAccount, amount: money, percent, expiration } = params
  const account = (id: AccountId, name: string): Uint8Array => {
    assertArgument(isAccountId(id), name, 'an account 1.2.N, N below 2^32')
    return varint(instanceOf(id))
  }
  assertArgument(money.amount >= 0n && money.amount <= MAX_INT64, 'amount.amount', 'from 0 to 2^63 - 1')
  assertArgument(isAssetId(money.assetId), 'amount.assetId', 'an asset 1.3.N, N below 2^32')
  assertArgument(isIntegerUpTo(percent, HUNDRED_PERCENT), 'percent', `a whole number from 0 to ${HUNDRED_PERCENT}`)
  assertArgument(isIntegerUpTo(expiration, 0xffff_ffff), 'expiration', 'whole seconds below 2^32')
  assertArgument(signatures.length <= MAX_SIGNATURES && signatures.every(({ length }) => length === 65), 'signatures',
    `up to ${MAX_SIGNATURES} times 65 bytes`)
  const memo = utf8(params.memo)
  assertArgument(memo.length <= MAX_MEMO_BYTES, 'memo', `up to ${MAX_MEMO_BYTES} bytes`)

  const int64 = new DataView(new ArrayBuffer(8))
  int64.setBigInt64(0, money.amount, true)
  return concatBytes(
    account(from, 'from'),
    account(to, 'to'),
    account(proxyAccount, 'proxyAccount'),
    new Uint8Array(int64.buffer),
    varint(instanceOf(money.assetId)),
    Uint8Array.of(percent & 255, percent >> 8),
    varint(memo.length),
    memo,
    Uint8Array.of(expiration, expiration >>> 8, expiration >>> 16, expiration >>> 24),
    varint(signatures.length),
    ...signatures,
  )
}

/**
 * What is signed: SHA-256 of the binary form without signatures, 32 bytes.
 *
 * Two authorisations with the same digest are one, whatever their signatures: look replays up by it.
 * @throws as {@link encodeTransferParams}.
 */
export function transferDigest(params: TransferParams): Uint8Array {
  return engine().sha256(encodeTransferParams(params))
}

/** Signs an authorisation with the payer's key. @throws as {@link encodeTransferParams}. */
export function signTransferParams(params: TransferParams, key: GrapheneKey): SignedTransferParams {
  return { ...params, signatures: [key.sign(transferDigest(params))] }
}

/**
 * Finds the key that signed an authorisation.
 * @throws `BAD_SIGNATURE` unless there is exactly one signature, canonical, leading to a key.
 */
export function recoverPayer(params: SignedTransferParams): PublicKeyText {
  const [signature, ...others] = params.signatures
  // The chain looks replays up by the first signature but takes any that is right: one is all that is safe.
  if (!signature || others.length > 0) {
    throw new SluiceError('BAD_SIGNATURE', `signatures must be exactly one, not ${params.signatures.length}`, {
      details: { name: 'signatures' },
    })
  }
  return recoverKey(transferDigest(params), signature)
}

function isIntegerUpTo(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most
}

/** An unsigned number below 2^32, seven bits a byte, the lowest first. */
function varint(value: number): Uint8Array {
  const out: number[] = []
  for (; value > 127; value >>>= 7) out.push((value & 127) | 128)
  out.push(value)
  return Uint8Array.from(out)
}
