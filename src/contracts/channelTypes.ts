/**
 * The EIP-712 types that `TokenNetwork.sol` and `TokenNetworkRegistry.sol` check.
 * @module
 */
import { concatBytes, toHex, u64Bytes, type Hex } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { assertArgument } from '../core/errors.ts'
import { domainSeparator, typedDataHasher } from '../core/crypto/typedData.ts'

/** The EIP-712 domain of one token network. */
export interface TokenNetworkDomain {
  readonly name: 'Sluice TokenNetwork'
  readonly version: '1'
  readonly chainId: bigint
  readonly verifyingContract: string
}

/** The domain of the token network at an address. */
export function tokenNetworkDomain(chainId: bigint, verifyingContract: string): TokenNetworkDomain {
  return { name: 'Sluice TokenNetwork', version: '1', chainId, verifyingContract }
}

/** What one side of a channel says it has transferred to the other. Its 32-byte members are bytes: it is hashed often. */
export interface BalanceProof {
  /** keccak-256 of channel id and watch secret. */
  readonly channel: Uint8Array
  /** Grows by one with each proof of this side; below 2^53. */
  readonly nonce: number
  /** In all, ever; below 2^128. */
  readonly transferred: bigint
  /** Sum of the locks; below 2^128. */
  readonly locked: bigint
  readonly locksroot: Uint8Array
  /** keccak-256 of the terms of the hash chain that runs on top; zero for none. */
  readonly stream: Uint8Array
  /** Binds what the message says beside. */
  readonly reference: Uint8Array
}

/** The closing side: "close with this proof". */
export interface CloseMessage {
  readonly channelId: Hex
  /** Digest of the balance proof; 32 zero bytes for none. */
  readonly proof: Hex
  /** keccak-256 of the steps that are handed in with it; 32 zero bytes for none. See {@link stepsHash}. */
  readonly steps: Hex
}

/** The other side: "this is the last proof that I have accepted". */
export type UpdateMessage = CloseMessage

/** Either side: "`participant` may have taken out this much in all". */
export interface WithdrawMessage {
  readonly channelId: Hex
  readonly participant: string
  readonly totalWithdraw: bigint
  /** Unix seconds. */
  readonly validUntil: number
}

/** Either side: "end the channel with these balances". Side 1 is the lower address. */
export interface CooperativeCloseMessage {
  readonly channelId: Hex
  readonly balance1: bigint
  readonly balance2: bigint
  /** Unix seconds. */
  readonly validUntil: number
}

/** Who opens without paying gas: "open this channel, with this deposit of mine". */
export interface OpenMessage {
  readonly channelId: Hex
  readonly deposit: bigint
  /** Unix seconds. */
  readonly validUntil: number
  /** keccak-256 of the partner's watch and consent one behind the other; 32 zero bytes without. See {@link consentHash}. */
  readonly consent: Hex
}

/** The receiver of a lock: "I will not claim it", so that its sender can have it back before it expires. */
export interface ReleaseMessage {
  readonly channelId: Hex
  /** Who locked it. */
  readonly sender: string
  /** Hash of the lock, as it is a leaf of the tree. */
  readonly lock: Uint8Array
}

/** A participant: "this key signs for me where it is registered until then". */
export interface DelegationMessage {
  readonly participant: string
  readonly signer: string
  /** Unix seconds. */
  readonly validUntil: number
}

/** Fields of each type of a token network, in the order in which they are hashed. */
export const tokenNetworkTypes = {
  BalanceProof: [
    { name: 'channel', type: 'bytes32' },
    { name: 'nonce', type: 'uint64' },
    { name: 'transferred', type: 'uint128' },
    { name: 'locked', type: 'uint128' },
    { name: 'locksroot', type: 'bytes32' },
    { name: 'stream', type: 'bytes32' },
    { name: 'reference', type: 'bytes32' },
  ],
  Close: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'proof', type: 'bytes32' },
    { name: 'steps', type: 'bytes32' },
  ],
  Update: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'proof', type: 'bytes32' },
    { name: 'steps', type: 'bytes32' },
  ],
  Withdraw: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'participant', type: 'address' },
    { name: 'totalWithdraw', type: 'uint128' },
    { name: 'validUntil', type: 'uint64' },
  ],
  CooperativeClose: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'balance1', type: 'uint128' },
    { name: 'balance2', type: 'uint128' },
    { name: 'validUntil', type: 'uint64' },
  ],
  Release: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'sender', type: 'address' },
    { name: 'lock', type: 'bytes32' },
  ],
  Open: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'deposit', type: 'uint128' },
    { name: 'validUntil', type: 'uint64' },
    { name: 'consent', type: 'bytes32' },
  ],
} as const

/** The type that a token network's registry checks. */
export const delegationTypes = {
  Delegation: [
    { name: 'participant', type: 'address' },
    { name: 'signer', type: 'address' },
    { name: 'validUntil', type: 'uint64' },
  ],
} as const

/** A function from message to 32-byte digest for each type of a token network. */
export interface TokenNetworkDigests {
  /** The result is overwritten by no later call. */
  BalanceProof(message: BalanceProof): Uint8Array
  Close(message: CloseMessage): Uint8Array
  Update(message: UpdateMessage): Uint8Array
  Withdraw(message: WithdrawMessage): Uint8Array
  CooperativeClose(message: CooperativeCloseMessage): Uint8Array
  Release(message: ReleaseMessage): Uint8Array
  Open(message: OpenMessage): Uint8Array
}

/** Prepares the digests of a token network. */
export function tokenNetworkDigests(domain: TokenNetworkDomain): TokenNetworkDigests {
  const hasher = <M>(type: keyof typeof tokenNetworkTypes): ((message: M) => Uint8Array) => {
    const hash = typedDataHasher(domain, type, tokenNetworkTypes[type])
    return (message) => hash(message as Record<string, string | number | bigint>)
  }
  return {
    BalanceProof: balanceProofHasher(domain),
    Close: hasher('Close'),
    Update: hasher('Update'),
    Withdraw: hasher('Withdraw'),
    CooperativeClose: hasher('CooperativeClose'),
    Release: hasher('Release'),
    Open: hasher('Open'),
  }
}

/** The digest of a {@link DelegationMessage} under the registry of token networks at an address. */
export function delegationDigest(chainId: bigint, registry: string, message: DelegationMessage): Uint8Array {
  const domain = delegationDomain(chainId, registry)
  return typedDataHasher(domain, 'Delegation', delegationTypes.Delegation)({ ...message })
}

/** A delegation as contracts and nodes take it: its end in 8 bytes, and the participant's signature behind. */
export function encodeDelegation(validUntil: number, signature: Uint8Array): Uint8Array {
  return concatBytes(u64Bytes(validUntil, 'validUntil'), signature)
}

/** Reads a delegation; undefined for what is too short to be one. A time beyond 2^53 is read as the highest number below. */
export function decodeDelegation(bytes: Uint8Array): { readonly validUntil: number; readonly signature: Uint8Array } | undefined {
  if (bytes.length <= 8) return undefined
  const end = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  const validUntil = Math.min(Number(end), Number.MAX_SAFE_INTEGER)
  return { validUntil, signature: bytes.subarray(8) }
}

/** What `Close` and `Update` say of the steps that are handed in. */
export function stepsHash(steps: Uint8Array): Hex {
  return steps.length === 0 ? NO_HASH : toHex(engine().keccak256(steps))
}

/** What `Open` says of the partner's consent. */
export function consentHash(consent: { readonly watch: Uint8Array; readonly signature: Uint8Array } | undefined): Hex {
  return consent ? toHex(engine().keccak256(concatBytes(consent.watch, consent.signature))) : NO_HASH
}

const NO_HASH: Hex = `0x${'00'.repeat(32)}`

/** The domain of a {@link DelegationMessage}. */
export function delegationDomain(chainId: bigint, verifyingContract: string) {
  return { name: 'Sluice TokenNetworkRegistry', version: '1', chainId, verifyingContract } as const
}

const BALANCE_PROOF =
  'BalanceProof(bytes32 channel,uint64 nonce,uint128 transferred,uint128 locked,bytes32 locksroot,bytes32 stream,bytes32 reference)'

/** The hot path of every payment, written out: a third of the time of the general hasher (docs/benchmarks.md). */
function balanceProofHasher(domain: TokenNetworkDomain): (proof: BalanceProof) => Uint8Array {
  const { keccak256 } = engine()
  const struct = new Uint8Array(256)
  const view = new DataView(struct.buffer)
  struct.set(keccak256(new TextEncoder().encode(BALANCE_PROOF)))
  const message = new Uint8Array(66)
  message.set([0x19, 0x01])
  message.set(domainSeparator(domain), 2)
  return ({ channel, nonce, transferred, locked, locksroot, stream, reference }) => {
    const fits = Number.isSafeInteger(nonce) && nonce >= 0 && (transferred | locked) >> 128n === 0n
    assertArgument(fits, 'proof', 'of a nonce below 2^53 and amounts from 0 and below 2^128')
    struct.set(channel, 32)
    view.setUint32(88, Math.floor(nonce / 2 ** 32))
    view.setUint32(92, nonce >>> 0)
    view.setBigUint64(112, transferred >> 64n)
    view.setBigUint64(120, transferred)
    view.setBigUint64(144, locked >> 64n)
    view.setBigUint64(152, locked)
    struct.set(locksroot, 160)
    struct.set(stream, 192)
    struct.set(reference, 224)
    message.set(engine().keccak256(struct), 34)
    return engine().keccak256(message)
  }
}
