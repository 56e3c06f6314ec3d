/**
 * Calls that somebody else sends and pays the gas for: signed here, sent by a relayer.
 * @module
 */
import { Contract, Signature, TypedDataEncoder, type Provider, type Signer } from 'ethers'
import { tokenNetworkInterface } from '../../contracts/tokenNetwork.ts'
import { consentHash, stepsHash } from '../../contracts/channelTypes.ts'
import { concatBytes, fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import type { TransactionCall } from '../../core/chain/sender.ts'
import { reasonOf } from '../../core/chain/verdict.ts'
import { ownSignature } from '../../core/crypto/walletSignature.ts'
import { SluiceError } from '../../core/errors.ts'
import type { OnChainProof } from '../chain/blockchainService.ts'
import type { TokenNetworkInfo } from '../chain/networks.ts'
import type { Channel } from './channel.ts'
import type { NodeContext } from './context.ts'

/** Seconds that a relayer has. */
const VALID_FOR = 3_600

/** What the partner has consented to, or nothing. */
export interface Consent {
  readonly watch: Uint8Array
  readonly signature: Uint8Array
}

const erc2612 = [
  'function nonces(address owner) view returns (uint256)',
  'function eip712Domain() view returns (bytes1, string name, string version, uint256 chainId, address verifyingContract, bytes32, uint256[])',
  'function name() view returns (string)',
]

const permitTypes = {
  Permit: [
    { name: 'owner', type: 'address' },
    { name: 'spender', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'nonce', type: 'uint256' },
    { name: 'deadline', type: 'uint256' },
  ],
}

/**
 * The call that opens a channel without an allowance and without gas of this account. The account's signer is asked for an
 * ERC-2612 permit.
 * @throws `BAD_ARGUMENT` for ETH and for a token without permits; `TRANSACTION_REJECTED` when the signer declines.
 */
export async function relayableOpen(
  context: NodeContext,
  signer: Signer,
  { address, token }: TokenNetworkInfo,
  channelId: Hex,
  partner: Hex,
  deposit: bigint,
  consent: Consent | undefined,
): Promise<TransactionCall> {
  if (BigInt(token) === 0n)
    throw new SluiceError('BAD_ARGUMENT', 'ETH has no permits: a channel of ETH is opened by its owner', { details: { token } })
  const validUntil = context.time.now() + VALID_FOR
  const permit = await signPermit(signer, token, address, deposit, validUntil)
  const digest = context.digests(address).Open({ channelId, deposit, validUntil, consent: consentHash(consent) })
  const data = tokenNetworkInterface.encodeFunctionData('openFor', [
    await signer.getAddress(),
    partner,
    deposit,
    validUntil,
    // By a session key its delegation comes along: that registers it.
    concatBytes(context.key.sign(digest), context.delegation),
    consent?.watch ?? new Uint8Array(32),
    consent?.signature ?? new Uint8Array(0),
    permit,
  ])
  return { to: address, data }
}

/** The call that closes a channel with the partner's last proof, for whoever sends it. */
export function relayableClose(
  context: NodeContext,
  channel: Channel,
  account: string,
  proof: OnChainProof,
  proofDigest: Hex,
): TransactionCall {
  const message = { channelId: channel.id, proof: proofDigest, steps: stepsHash(proof.steps) }
  const digest = context.digests(channel.tokenNetwork).Close(message)
  const data = tokenNetworkInterface.encodeFunctionData('close', [
    account,
    channel.partner,
    proof,
    toHex(context.key.sign(digest)),
  ])
  return { to: channel.tokenNetwork, data }
}

/** Source: ERC-2612, and ERC-5267 for the domain where the token has it. */
async function signPermit(signer: Signer, token: Hex, spender: Hex, value: bigint, deadline: number) {
  const provider = signer.provider as Provider
  const owner = await signer.getAddress()
  const rpc = createRpc({ provider })
  const contract = new Contract(token, erc2612, provider)
  const read = <T>(what: string, ...args: unknown[]): Promise<T> =>
    rpc.ask(`${what} of token ${token}`, () => contract[what]!(...args) as Promise<T>)
  const nonce = await read<bigint>('nonces', owner).catch((cause: unknown) => {
    throw new SluiceError('BAD_ARGUMENT', `token ${token} takes no permits (ERC-2612)`, { cause, details: { token } })
  })
  const [name, version] = await read<{ name: string; version: string }>('eip712Domain').then(
    (domain) => [domain.name, domain.version] as const,
    async () => [await read<string>('name'), '1'] as const,
  )
  const chainId = await rpc.chainId({ attempts: 3 })
  const domain = { name, version, chainId, verifyingContract: token }
  const permit = { owner, spender, value, nonce, deadline }
  let given: string
  try {
    given = await signer.signTypedData(domain, permitTypes, permit)
  } catch (cause) {
    throw new SluiceError('TRANSACTION_REJECTED', `the signer did not permit the deposit: ${reasonOf(cause)}`)
  }
  const digest = fromHex(TypedDataEncoder.hash(domain, permitTypes, permit))
  const { v, r, s } = Signature.from(toHex(ownSignature(given, digest, owner, 'the permit of the deposit')))
  return { value, deadline, v, r, s }
}
