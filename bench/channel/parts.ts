/**
 * What payments can't do without, and nothing else: what benches hold the nodes against.
 * @module
 */
import { recoverAddress, SigningKey, TypedDataEncoder } from 'ethers'
import {
  tokenNetworkDigests,
  tokenNetworkDomain,
  tokenNetworkTypes,
  type BalanceProof,
} from '../../src/contracts/channelTypes.ts'
import { randomBytes, toHex } from '../../src/core/bytes.ts'
import { engine } from '../../src/core/crypto/engine.ts'
import { generateKey } from '../../src/core/crypto/key.ts'

const domain = tokenNetworkDomain(31337n, `0x${'11'.repeat(20)}`)
const proofs = Array.from(
  { length: 64 },
  (_, i): BalanceProof => ({
    channel: randomBytes(32),
    nonce: i + 1,
    transferred: 10n ** 15n + BigInt(i),
    locked: 0n,
    locksroot: new Uint8Array(32),
    stream: new Uint8Array(32),
    reference: randomBytes(32),
  }),
)

/** Makes and checks balance proofs: hash, sign, hash, verify. */
export function bareProofs(count: number): void {
  const { BalanceProof: digest } = tokenNetworkDigests(domain)
  const key = generateKey()
  const { secp256k1 } = engine()
  for (let i = 0; i < count; i++) {
    const proof = proofs[i % proofs.length]!
    const signature = key.sign(digest(proof)).subarray(0, 64)
    if (!secp256k1.verify(digest(proof), signature, key.publicKey)) throw new Error('the signature is wrong')
  }
}

/** The same by the means of ethers. */
export function ethersProofs(count: number): void {
  const key = new SigningKey(randomBytes(32))
  const types = { BalanceProof: [...tokenNetworkTypes.BalanceProof] }
  for (let i = 0; i < count; i++) {
    const proof = proofs[i % proofs.length]!
    const message = {
      ...proof,
      channel: toHex(proof.channel),
      locksroot: toHex(proof.locksroot),
      stream: toHex(proof.stream),
      reference: toHex(proof.reference),
    }
    const signature = key.sign(TypedDataEncoder.hash(domain, types, message))
    recoverAddress(TypedDataEncoder.hash(domain, types, message), signature)
  }
}

/**
 * What a payment over one mediator waits for, one after the other, whoever does it: five signatures (two locks, the request
 * for the secret, two unlocks), both locks verified, the request's signer recovered, and the secret sealed and opened.
 */
export function bareMediation(): void {
  const { BalanceProof: digest } = tokenNetworkDigests(domain)
  const { secp256k1 } = engine()
  const key = generateKey()
  let signature = new Uint8Array(0)
  for (let i = 0; i < 5; i++) signature = key.sign(digest(proofs[i]!)) as Uint8Array<ArrayBuffer>
  for (let i = 0; i < 2; i++) secp256k1.verify(digest(proofs[4]!), signature.subarray(0, 64), key.publicKey)
  const asked = secp256k1.recover(digest(proofs[4]!), signature)
  const secret = randomBytes(32)
  const ephemeral = secp256k1.publicKey(secret, true)
  secp256k1.sharedPoint(secret, asked)
  key.agree(ephemeral)
}
