import { Wallet, type Signer } from 'ethers'
import { describe, expect, it } from 'vitest'
import { dataTradeDigests, dataTradeDomain } from '../contracts/typedData.ts'
import { toHex, utf8 } from '../core/bytes.ts'
import { keyFromSecret } from '../core/crypto/key.ts'
import { assertSignedBy, personalDigest } from '../core/crypto/signature.ts'
import { keyIdentity, signerIdentity, type Identity } from './identity.ts'

const domain = dataTradeDomain(31337n, `0x${'c0'.repeat(20)}`)
const secret = new Uint8Array(32).fill(7)
const wallet = new Wallet(toHex(secret))

/** A signer that keeps its key to itself, as wallets in browsers do, and counts what it is asked. */
function remoteSigner(refuse = false) {
  let asked = 0
  const guard = <T>(run: () => T): T => {
    asked++
    if (refuse) throw new Error('user rejected the request')
    return run()
  }
  const signer = {
    getAddress: () => Promise.resolve(wallet.address),
    signMessage: async (message: string | Uint8Array) => guard(() => wallet.signMessage(message)),
    signTypedData: async (...args: Parameters<Signer['signTypedData']>) => guard(() => wallet.signTypedData(...args)),
  } as unknown as Signer
  return { signer, asked: () => asked }
}

const identities: readonly (readonly [string, () => Promise<Identity>])[] = [
  ['a key', () => Promise.resolve(keyIdentity(keyFromSecret(secret), domain))],
  ['a local wallet', () => signerIdentity(wallet, domain)],
  ['a signer elsewhere', () => signerIdentity(remoteSigner().signer, domain)],
]

describe.each(identities)('an identity on %s', (_name, open) => {
  const owner = { field: 'test', owner: 'the identity' }

  it('knows its address and its public key', async () => {
    const { address, publicKey } = await open()
    expect(address).toBe(wallet.address)
    expect(toHex(publicKey)).toBe(wallet.signingKey.publicKey)
  })

  it('signs messages as wallets do', async () => {
    const bytes = utf8('量 and more')
    const signature = await (await open()).signBytes(bytes)
    expect(toHex(signature)).toBe(await wallet.signMessage(bytes))
    assertSignedBy(personalDigest(bytes), signature, wallet.address, owner)
  })

  it('signs every type that the contract checks', async () => {
    const identity = await open()
    const id = `0x${'0d'.repeat(32)}` as const
    const digests = dataTradeDigests(domain)
    const ack = { orderId: id, transferred: 2 ** 48 - 1 }
    const claim = { orderId: id, index: 3, leaf: id, proofHash: id }
    const rating = { orderId: id, score: 5, commentHash: id }
    assertSignedBy(digests.Ack(ack), await identity.signTyped('Ack', ack), wallet.address, owner)
    assertSignedBy(digests.ChunkClaim(claim), await identity.signTyped('ChunkClaim', claim), wallet.address, owner)
    assertSignedBy(digests.Rating(rating), await identity.signTyped('Rating', rating), wallet.address, owner)
  })
})

describe('signerIdentity', () => {
  it('asks a signer for its public key and one signature of typed data, then once for each signature', async () => {
    const { signer, asked } = remoteSigner()
    const identity = await signerIdentity(signer, domain)
    expect(asked()).toBe(2)
    await identity.signBytes(utf8('x'))
    await identity.signTyped('Ack', { orderId: `0x${'0d'.repeat(32)}`, transferred: 1 })
    expect(asked()).toBe(4)
  })

  it('says what a signer did not want to sign', async () => {
    await expect(signerIdentity(remoteSigner(true).signer, domain)).rejects.toMatchObject({ code: 'TRANSACTION_REJECTED' })
  })

  it('does not show the key of a wallet', async () => {
    const identity = await signerIdentity(wallet, domain)
    expect(JSON.stringify(identity)).not.toContain(toHex(secret).slice(2))
  })
})
