import { Signature, type Signer, type TypedDataDomain, type TypedDataField, VoidSigner, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSeller } from '../../src/seller/seller.ts'
import { dataTradeDomain } from '../../src/contracts/typedData.ts'
import { nodeIdentity } from '../../src/channel/node/identity.ts'
import { signerIdentity } from '../../src/protocol/identity.ts'
import { type Devnet, startDevnet } from '../../src/testing/devnet.ts'
import { fromHex, toHex, utf8, type Hex } from '../../src/core/bytes.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { personalDigest } from '../../src/core/crypto/signature.ts'
import { storedSecret } from '../../src/core/crypto/sessionSecret.ts'
import { readWalletSignature, signerOf } from '../../src/core/crypto/walletSignature.ts'

const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

type Form = (signature: string) => string
const asIs: Form = (signature) => signature

/** A device or service of an account, which signs with a wallet's key and gives its signatures in a form of its own. */
function device(account: Wallet, form: Form = asIs, keys: { by?: Signer; typedBy?: Signer } = {}): Signer {
  const { by = account, typedBy = by } = keys
  return Object.assign(new VoidSigner(account.address, account.provider), {
    signMessage: async (message: string | Uint8Array) => form(await by.signMessage(message)),
    signTypedData: async (domain: TypedDataDomain, types: Record<string, TypedDataField[]>, value: Record<string, unknown>) =>
      form(await typedBy.signTypedData(domain, types, value)),
  })
}

const other = Wallet.createRandom()
const forms: Record<string, (signature: string) => string> = {
  'v 0 or 1': (s) => `${s.slice(0, -2)}${s.endsWith('1b') ? '00' : '01'}`,
  'EIP-2098': (s) => Signature.from(s).compactSerialized,
  'a high s': (s) => {
    const high = (N - BigInt(`0x${s.slice(66, 130)}`)).toString(16).padStart(64, '0')
    return `${s.slice(0, 66)}${high}${s.endsWith('1b') ? '1c' : '1b'}`
  },
  'upper case': (s) => `0x${s.slice(2).toUpperCase()}`,
}

let devnet: Devnet
let wallet: Wallet
const registry: Hex = '0x00000000000000000000000000000000000000aa'
beforeAll(async () => {
  devnet = await startDevnet({ accounts: 1 })
  wallet = new Wallet(devnet.accounts[0]!.privateKey, devnet.provider)
})
afterAll(() => devnet.stop())

const domain = () => dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade)
const twist = (s: string): string => `0x${'11'.repeat(31)}${s.slice(64)}`

describe.each(Object.entries(forms))('a wallet that signs with %s', (_, form) => {
  it('is as good as any', async () => {
    const signer = device(wallet, form)
    const digest = personalDigest(utf8('text'))
    expect(toHex(readWalletSignature(await signer.signMessage('text')))).toBe(await wallet.signMessage('text'))
    expect(signerOf(digest, readWalletSignature(await signer.signMessage('text')))).toBe(wallet.address)

    const identity = await signerIdentity(signer, domain())
    const plain = await signerIdentity(wallet, domain())
    expect(identity.publicKey).toEqual(plain.publicKey)
    const ack = { orderId: `0x${'ab'.repeat(32)}`, transferred: 7 } as const
    expect(await identity.signTyped('Ack', ack)).toEqual(await plain.signTyped('Ack', ack))
    expect(await identity.signBytes(digest)).toEqual(await plain.signBytes(digest))

    const { delegation } = await nodeIdentity(signer, memoryStore(), devnet.chainId, registry)
    // Until when in 8 bytes, then the signature.
    expect([delegation.length, delegation[72]! >= 27]).toEqual([73, true])
  })

  it('opens its store again, whatever form the next one has', async () => {
    const store = memoryStore()
    const secret = await storedSecret(store, device(wallet, form), wallet.address)
    expect(await storedSecret(store, wallet, wallet.address)).toEqual(secret)
  })
})

describe('a wallet that does not sign as its account', () => {
  it.each([
    ['signs with another key', (w: Wallet) => device(w, asIs, { by: other })],
    ['signs something else', (w: Wallet) => device(w, twist)],
    ['gives what is no signature', (w: Wallet) => device(w, () => 'approved')],
    ['gives nothing', (w: Wallet) => device(w, () => '0x')],
    ['signs as contracts do, and is none', (w: Wallet) => device(w, () => `0x${'ab'.repeat(130)}`)],
  ])('is refused before money moves: it %s', async (_, make) => {
    const signer = make(wallet)
    await expect(signerIdentity(signer, domain())).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    await expect(storedSecret(memoryStore(), signer, wallet.address)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    await expect(nodeIdentity(signer, memoryStore(), devnet.chainId, registry)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    const { dataTrade } = devnet.deployment
    const item = { id: 'a', data: new Uint8Array(9), price: 1n }
    await expect(createSeller({ signer, store: memoryStore(), dataTrade, items: [item] })).rejects.toMatchObject({
      code: 'BAD_SIGNATURE',
    })
  })

  it('is refused also if only its typed data is another key’s', async () => {
    const signer = device(wallet, asIs, { typedBy: new Wallet(other.privateKey) })
    await expect(signerIdentity(signer, domain())).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    const store = memoryStore()
    await expect(nodeIdentity(signer, store, devnet.chainId, registry)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    // Nothing of it is kept: the next start asks again.
    const { delegation } = await nodeIdentity(device(wallet), store, devnet.chainId, registry)
    expect(delegation.length).toBe(73)
  })
})

describe('a wallet whose signatures differ each time', () => {
  it('seals nothing that could not be opened again', async () => {
    const store = memoryStore()
    let count = 0
    const random = device(wallet)
    random.signMessage = async (message) => {
      const digest = personalDigest(typeof message === 'string' ? utf8(message) : message)
      const { nobleSecp256k1 } = await import('../../src/core/crypto/noble.ts')
      const entropy = new Uint8Array(32).fill(++count)
      return toHex(nobleSecp256k1.signWithEntropy!(digest, fromHex(wallet.privateKey, 32), entropy))
    }
    expect(await random.signMessage('x')).not.toBe(await random.signMessage('x'))
    await expect(storedSecret(store, random, wallet.address)).rejects.toMatchObject({
      code: 'BAD_KEY',
      shortMessage: expect.stringContaining('differently each time') as string,
    })
    expect(await store.get('session')).toBeUndefined()
    // What needs no seal works with it.
    expect((await signerIdentity(random, domain())).address).toBe(wallet.address)
  })
})
